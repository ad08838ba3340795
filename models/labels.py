"""Entity labels, each with a sentence of definition.

A labels file is TOML with one table for each label: `definition = "…"`, and for an attribute
`attribute_of = "medication"`. The built-in labels are `labels.toml` beside this file.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import UsageError


class LabelsError(UsageError):
    """The labels file is not readable or not valid."""


class Label(BaseModel):
    """One kind of entity, or an attribute of one kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    definition: str = Field(min_length=3, max_length=500)
    attribute_of: str | None = None
    """The label that this one belongs to; its spans are attributes of that label's entities."""


def load_labels(path: Path | None = None) -> tuple[Label, ...]:
    """The labels of a file, in its order; without a path, the built-in labels.

    Raises LabelsError, naming the file, the label and the mistake.
    """
    file = path or Path(__file__).with_name("labels.toml")
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
        labels = tuple(Label(name=name, **table) for name, table in tables.items())
    except OSError as error:
        raise LabelsError(f"cannot read the labels file {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
        raise LabelsError(
            f"{file} is not a labels file: {error}. `notemill labels` prints the form."
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise LabelsError(f"{file}: {where} of {error.title}: {first['msg']}") from None
    return _checked(labels, file)


def as_toml(labels: tuple[Label, ...]) -> str:
    """The labels in the form of a labels file."""
    blocks = []
    for label in labels:
        escaped = re.sub(r'(["\\])', r"\\\1", label.definition)
        lines = [f"[{label.name}]", f'definition = "{escaped}"']
        if label.attribute_of:
            lines.append(f'attribute_of = "{label.attribute_of}"')
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _checked(labels: tuple[Label, ...], path: Path) -> tuple[Label, ...]:
    entities = {label.name for label in labels if label.attribute_of is None}
    if not entities:
        raise LabelsError(f"{path} names no label of its own (every one has attribute_of)")
    for label in labels:
        if label.attribute_of is not None and label.attribute_of not in entities:
            raise LabelsError(
                f"{path}: {label.name} is attribute_of {label.attribute_of!r}, which is no label"
            )
    return labels
