"""The fault run: everything goes wrong at once, and both ends' books are compared."""
