"""What one CUDA card makes of Mistral 7B in 4 bits with our engine: `python -m benchmarks.card`."""
