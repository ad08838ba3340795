"""Evaluation of the worker's answers against gold data: entities, assertions, links, search, summaries."""
