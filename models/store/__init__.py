"""Every write to the database; one method of `Store` is one transaction.

Runs, documents, claims, leases, answers, usage, corrections, erasure, nightly runs.
"""
