"""Migrations of the schema, step by step, its version, and the database roles.

Run by `models.migrations.schema_version`.
"""
