"""Encryption keys, the audit trail, secure overwriting, and the training provenance of adapters.

Text columns are encrypted by `models.schema.encrypted_columns` with the keys from here.
"""
