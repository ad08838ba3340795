"""Parts of the benchmarks of queue and database: workers without a network, a synthetic archive."""
