"""Sees, decides, remembers, runs: the service and its ports. Actions live in `handlers`."""
