"""Records that evaluation reads: annotated notes and search queries."""
