"""Benchmarks of one CUDA GPU with Mistral 7B in 4 bits: `python -m benchmarks.card`."""
