"""Peaks of a machine, and forward batches and memory of the engine."""
