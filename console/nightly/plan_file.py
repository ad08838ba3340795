"""The plan file of a nightly run (TOML): sources, questions, end time, and which notes come first."""

from __future__ import annotations

import tomllib
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.errors import UsageError

EXAMPLE = 'sources = ["/archive/notes"]\\ntasks = ["entities", "summary"]\\nuntil = "06:00"'


class NightlyPlan(BaseModel):
    """Everything that a nightly run needs to know; unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(exclude=True)
    """The name of the file without its ending; the next run of this name continues from here."""
    folder: Path = Field(exclude=True)
    """The folder of the file, where relative paths start."""

    sources: tuple[str, ...] = ()
    """Files, folders and globs; each run reads what is new or has changed."""
    sql: str = Field(default="", repr=False)
    """A database URL; use the setting NOTEMILL_ARCHIVE_URL where it holds a password."""
    query: str = ""
    preset: str | None = None
    watermark: str = ""
    """The column of the query whose values grow: an id, or the time of the last change."""
    id_column: str | None = None
    text_column: str | None = None

    tasks: tuple[str, ...] = ("entities", "summary")
    searches: tuple[str, ...] = ()
    labels: Path | None = None
    summary_words: int | None = None

    until: str = ""
    """The time of day, such as 06:00, at which the run stops; empty: when all jobs have ended."""
    first: tuple[dict[str, Any], ...] = ()
    """Rules for notes that come first, by values in their metadata; the first rule before the second."""
    order: Literal["as read", "newest", "oldest"] = "as read"
    """The order by `date` of notes that no rule, or the same rule, puts first."""
    reports: Path | None = None
    """The folder for reports; None: `nights` in the home folder."""

    @field_validator("until")
    @classmethod
    def _is_a_time(cls, until: str) -> str:
        if until:
            try:
                time.fromisoformat(until)
            except ValueError:
                raise ValueError("a time of the day is written 06:00") from None
        return until

    @model_validator(mode="after")
    def _has_a_source(self) -> NightlyPlan:
        if self.reads_sql and not (self.query or self.preset):
            raise ValueError("a database needs `query` or `preset`")
        if self.watermark and not self.reads_sql:
            raise ValueError("`watermark` goes with `query` or `preset` of a database")
        if not self.reads_sql and not self.sources:
            raise ValueError("no `sources`, and no `query` or `preset` of a database")
        return self

    @property
    def reads_sql(self) -> bool:
        return bool(self.sql or self.query or (self.preset and not self.sources))

    def deadline(self, now: datetime, until: str | None) -> datetime | None:
        """The next moment at which the clock shows the plan's time, or the given one."""
        time_of_day = self.until if until is None else until
        if not time_of_day:
            return None
        try:
            clock = time.fromisoformat(time_of_day)
        except ValueError:
            raise UsageError(f"--until takes a time of the day such as 06:00, not {time_of_day!r}.") from None
        deadline = now.replace(hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=0)
        return deadline if deadline > now else deadline + timedelta(days=1)


def read_plan(path: Path) -> NightlyPlan:
    """Reads a plan file. Raises UsageError, saying what to type."""
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no plan {path}. Type: printf '{EXAMPLE}' > {path}") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not readable TOML: {error}") from None
    try:
        return NightlyPlan(name=path.stem, folder=path.absolute().parent, **given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        words = "unknown name" if first["type"] == "extra_forbidden" else first["msg"]
        raise UsageError(
            f"{path}: {f'{name}: ' if name else ''}{words}. docs/reference/nightly-plan.md has them all."
        ) from None
    except TypeError as error:
        raise UsageError(f"{path}: {error}. docs/reference/nightly-plan.md has all names.") from None
