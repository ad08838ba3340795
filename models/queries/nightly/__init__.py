"""Reads for nightly runs: earlier runs, documents with owed jobs, measured rates."""
