"""Every write to the database. A method is one transaction, rolled back when the method raises.

Each part of `Store` is in the module that holds its SQL. No session leaves this package.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from models.schema.database import write_transaction
from models.security import audit_trail
from models.security.audit_trail import Action
from models.store.answers import AnswerWrites
from models.store.cancellation import CancellationWrites
from models.store.claims import ClaimWrites
from models.store.corrections import CorrectionWrites
from models.store.erasure import ErasureWrites
from models.store.leases import LeaseWrites
from models.store.nightly_runs import NightlyWrites
from models.store.recipe_adoptions import RecipeAdoptionWrites
from models.store.registration import RegistrationWrites
from models.store.retries import RetryWrites
from models.store.runs import RunWrites
from models.store.usage import UsageWrites


class Store(
    RunWrites,
    RegistrationWrites,
    ClaimWrites,
    LeaseWrites,
    AnswerWrites,
    UsageWrites,
    RetryWrites,
    CancellationWrites,
    ErasureWrites,
    CorrectionWrites,
    NightlyWrites,
    RecipeAdoptionWrites,
):
    """Writes to one database; safe to share between threads."""

    def __init__(self, engine: Engine, *, actor: str = "") -> None:
        """`engine` comes from `models.schema.database.connect`, its tables from
        `models.migrations.schema_version.upgrade`. `actor` is the name that the audit trail records; '' is
        the operating system's user."""
        self._engine = engine
        self._actor = actor

    def note(self, action: Action, **subject: Any) -> None:
        """Adds a row to the audit trail: ids and counts only."""
        with write_transaction(self._engine) as connection:
            audit_trail.append(connection, action, subject, actor=self._actor)
