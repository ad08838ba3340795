"""The worker process around the pipeline: messages, claims, leases, sweep, quarantine, start and shutdown.

The only part of the worker that imports Celery and Redis.
"""
