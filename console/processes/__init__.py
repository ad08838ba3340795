"""Processes that notemill starts: embedded Redis, worker, weights preparation, and their supervision."""
