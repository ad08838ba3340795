"""Values that packages share, and the database: schema, migrations, writes, reads, security.

Imports neither Celery nor torch, and none of the other packages.
"""
