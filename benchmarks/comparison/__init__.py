"""What `python -m benchmarks.engines` compares with: workload, rounds, agreement and report."""
