"""The worker: from a claimed document to outcomes, through one batched engine."""
