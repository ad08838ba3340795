"""One submission: registers documents in SQL, then publishes their ids to Redis.

`submit` is the entry point.
"""
