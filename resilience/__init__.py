"""Runs that try to break notemill: chaos (faults in running processes), fuzz (malformed input), kill_worker."""
