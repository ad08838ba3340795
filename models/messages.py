"""What goes through Redis: ids, never text.

The contract for any Celery client: send the task `notemill.process_document` to the queue
`notemill` with the single keyword argument `document_id`. It means "look at what SQL owes for
this document"; sending it once too often does nothing. Its priority says before what else: 0 is
urgent, a person waits, and what a message without one counts as; 9 is for nightly runs.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

TASK_NAME = "notemill.process_document"
QUEUE_NAME = "notemill"
URGENT_PRIORITY, NIGHTLY_PRIORITY = 0, 9
PRIORITY_STEPS = [0, 3, 6, 9]
"""One Redis list each, taken from in this order; a priority in between goes with the step below. They are
kombu's own, which a client that sets nothing sends by."""


def priority_of(*, is_urgent: bool) -> int:
    return URGENT_PRIORITY if is_urgent else NIGHTLY_PRIORITY


class DocumentMessage(BaseModel):
    """The keyword arguments of one message."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    document_id: int = Field(ge=1)
