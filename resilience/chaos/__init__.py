"""Chaos runs: faults drawn by a seed while producers, workers, Redis and a database are at work.

Afterwards every answer must be stored once and be the right one.
"""
