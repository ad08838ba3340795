"""Chaos runs: seeded random faults while producers, workers, Redis and a database are running.

Afterwards every job must have exactly one answer, the expected one.
"""
