"""The producer: registers documents in SQL and publishes their ids to Redis. Does not import torch.

`submit` is all that an ETL job needs; `examples/etl_submit.py` shows it.
"""

from __future__ import annotations

from models.documents import Document, Refused
from producer.sources.sql_query import SqlQuery
from producer.sources.standard_input import StandardInput
from producer.submission.record_registration import Progress
from producer.submission.submit import NotEnqueuedError, Submitted, submit

__all__ = [
    "Document",
    "NotEnqueuedError",
    "Progress",
    "Refused",
    "SqlQuery",
    "StandardInput",
    "Submitted",
    "submit",
]
