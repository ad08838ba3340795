"""Parts of `python -m benchmarks.engines`: workload, rounds, agreement, quality and report."""
