"""Every read that commands and workers share. Returns values and dictionaries, never rows.

Each part of `Queries` is in the module that holds its SQL.
"""

from __future__ import annotations

from sqlalchemy import Engine

from models.migrations import schema_version
from models.queries.corrections import CorrectionQueries
from models.queries.documents import DocumentQueries
from models.queries.full_text_search import FullTextQueries
from models.queries.note_export import ExportQueries
from models.queries.owed_jobs import OwedQueries
from models.queries.recipe_list import RecipeQueries
from models.queries.results import ResultQueries
from models.queries.runs import RunQueries


class Queries(
    RunQueries,
    DocumentQueries,
    ResultQueries,
    ExportQueries,
    FullTextQueries,
    CorrectionQueries,
    OwedQueries,
    RecipeQueries,
):
    """Reads from one database; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        """`engine` comes from `models.schema.database.connect`."""
        self._engine = engine

    def schema_state(self) -> schema_version.SchemaState:
        """`empty`, `current`, `behind` or `ahead` of this notemill."""
        return schema_version.state(self._engine)
