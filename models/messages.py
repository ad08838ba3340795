"""Queue messages: names, priorities and signatures. A message carries ids, never text.

The contract for any Celery client: send the task `notemill.process_document` to the queue
`notemill` with the single keyword argument `document_id`. A worker then claims the jobs that SQL owes for
this document; a repeated message does nothing. Priority 0, also the default, is urgent: a person waits.
Priority 9 is for nightly runs. If workers have a NOTEMILL_MESSAGE_KEY, the message needs a header that
proves that its sender has the key.
"""

from __future__ import annotations

import hashlib
import hmac

from pydantic import BaseModel, ConfigDict, Field

TASK_NAME = "notemill.process_document"
QUEUE_NAME = "notemill"
URGENT_PRIORITY, NIGHTLY_PRIORITY = 0, 9
SIGNATURE_HEADER = "notemill_signature"
"""HMAC-SHA256 in hexadecimal digits over `TASK_NAME:document_id` as ASCII. It does not prevent replay: a
repeated message does nothing."""
MAX_BODY_BYTES = 16_384
"""The longest message body that a worker accepts; our messages have about 100 bytes."""
REFUSED_LIST = "notemill.refused"
"""A Redis list about the last refused messages: time, reason, length and sha256, never their content."""
PRIORITY_STEPS = [0, 3, 6, 9]
"""One Redis list each, read in this order; a priority in between uses the step below. They are kombu's
defaults, which a client without settings of its own uses."""


def priority_of(*, is_urgent: bool) -> int:
    return URGENT_PRIORITY if is_urgent else NIGHTLY_PRIORITY


def signature(key: str, document_id: int) -> str:
    """The signature of a message about this document."""
    return hmac.new(key.encode(), f"{TASK_NAME}:{document_id}".encode("ascii"), hashlib.sha256).hexdigest()


def signed_headers(key: str, document_id: int) -> dict[str, str]:
    """The headers of a message; empty without a key."""
    return {SIGNATURE_HEADER: signature(key, document_id)} if key else {}


def is_signed(key: str, document_id: int, given: object) -> bool:
    """True if `given` is the signature; the comparison takes constant time."""
    is_text = isinstance(given, str) and given.isascii()
    return is_text and hmac.compare_digest(signature(key, document_id), str(given))


class DocumentMessage(BaseModel):
    """The keyword arguments of one message."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    document_id: int = Field(ge=1)
