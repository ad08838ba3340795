"""Benchmarks of one CUDA card with Mistral 7B in 4 bits: `python -m benchmarks.card`."""
