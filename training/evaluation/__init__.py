"""How good answers are, measured through the worker's own pipeline; scores, baselines, pages for people."""
