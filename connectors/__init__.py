"""Wing: how the world reaches us; one package for each channel."""
