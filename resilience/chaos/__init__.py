"""Faults drawn by a seed while real producers, workers, Redis and a database are at work; then every job is
compared with the answer it should have: `python -m benchmarks.chaos --seed 1`."""
