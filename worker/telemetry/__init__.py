"""Telemetry of a worker: logs without patient text, Prometheus metrics, usage, thread dumps.

Holds ids, counts, durations and reasons; never text of a note.
"""
