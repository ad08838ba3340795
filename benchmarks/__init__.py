"""Benchmarks of speed and memory. Each runs as `python -m benchmarks.NAME`."""
