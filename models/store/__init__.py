"""Every write to the database; one method is one transaction.

Runs, documents, claims, leases, answers, corrections, erasure.
"""
