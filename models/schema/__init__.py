"""Database schema: connection, tables, encrypted columns and the views for analysts.

Defines what is stored; `models.store` writes it and `models.queries` reads it.
"""
