"""What goes through Redis: ids, never text.

The contract for any Celery client: send the task `notemill.process_document` to the queue
`notemill` with the single keyword argument `document_id`. It means "look at what SQL owes for
this document"; sending it once too often does nothing. Its priority says before what else: 0 is
urgent, a person waits, and what a message without one counts as; 9 is for nightly runs. Where the
workers have a NOTEMILL_MESSAGE_KEY, the message has a header that proves that its sender has it too.
"""

from __future__ import annotations

import hashlib
import hmac

from pydantic import BaseModel, ConfigDict, Field

TASK_NAME = "notemill.process_document"
QUEUE_NAME = "notemill"
URGENT_PRIORITY, NIGHTLY_PRIORITY = 0, 9
SIGNATURE_HEADER = "notemill_signature"
"""HMAC-SHA256 in hexadecimal digits over `TASK_NAME:document_id` as ASCII. A message that is sent again
may be: it does nothing the second time."""
MAX_BODY_BYTES = 16_384
"""Of a message; ours have about 100."""
REFUSED_LIST = "notemill.refused"
"""In Redis: of the last messages that were refused when, why, how long and the sha256, never what was in."""
PRIORITY_STEPS = [0, 3, 6, 9]
"""One Redis list each, taken from in this order; a priority in between goes with the step below. They are
kombu's own, which a client that sets nothing sends by."""


def priority_of(*, is_urgent: bool) -> int:
    return URGENT_PRIORITY if is_urgent else NIGHTLY_PRIORITY


def signature(key: str, document_id: int) -> str:
    """What proves that the sender of a message about this document has the key."""
    return hmac.new(key.encode(), f"{TASK_NAME}:{document_id}".encode("ascii"), hashlib.sha256).hexdigest()


def signed_headers(key: str, document_id: int) -> dict[str, str]:
    """Headers of the message; none without a key."""
    return {SIGNATURE_HEADER: signature(key, document_id)} if key else {}


def is_signed(key: str, document_id: int, given: object) -> bool:
    """Whether `given` is the signature; compared in constant time."""
    is_text = isinstance(given, str) and given.isascii()
    return is_text and hmac.compare_digest(signature(key, document_id), str(given))


class DocumentMessage(BaseModel):
    """The keyword arguments of one message."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    document_id: int = Field(ge=1)
