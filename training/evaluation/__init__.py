"""Evaluation of answers through the pipeline of the worker: entities, assertion, links, search, summaries."""
