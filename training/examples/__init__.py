"""Training examples: token sequences with label-word decisions or written answers, as the worker requests."""
