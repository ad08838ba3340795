"""Reads for the browser application: pages of documents, passages and failures."""
