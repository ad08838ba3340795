"""What goes through Redis: ids, never text.

The contract for any Celery client: send the task `notemill.process_document` to the queue
`notemill` with the single keyword argument `document_id`. It means "look at what SQL owes for
this document"; sending it once too often does nothing.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

TASK_NAME = "notemill.process_document"
QUEUE_NAME = "notemill"


class DocumentMessage(BaseModel):
    """The keyword arguments of one message."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    document_id: int = Field(ge=1)
