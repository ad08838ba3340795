"""Producer: documents in, registered in SQL and announced in Redis. No torch.

`submit` is the whole of it for an ETL job; `examples/etl_submit.py` shows it at work.
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
