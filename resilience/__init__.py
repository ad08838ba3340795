"""Runs that try to break notemill: chaos (faults in running processes), fuzz (bad input), kill_worker."""
