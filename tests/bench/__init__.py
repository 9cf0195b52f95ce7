"""Measurements that have a bar: `make bench-…` prints `name value bar` a line and fails below one."""
