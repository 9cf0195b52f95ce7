"""Tools for what writers own: they know YAML and limits, no database."""
