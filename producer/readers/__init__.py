"""Readers, one a file or message format: CSV, JSON Lines, Parquet, FHIR, HL7 v2, C-CDA, plain and rich text.

Each yields documents and refused records.
"""
