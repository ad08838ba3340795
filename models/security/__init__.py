"""Encryption keys, the audit trail, secure overwriting, and which adapters a document trained.

Text columns are encrypted by `models.schema.encrypted_columns` with the keys from here.
"""
