"""Prompt templates: one Jinja template a question, with the document always first.

Prompts are exactly the rendered text; templates end without a line feed. Does not import a tokenizer:
`worker.engine.prompting.chat_template` encodes prompts in the chat format of the weights.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from worker.engine.api import Prompt

_FOLDER = Path(__file__).with_name("templates")
_templates = Environment(  # noqa: S701  prompts are text, not HTML
    loader=FileSystemLoader(_FOLDER),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,  # reloading checks the file system for each template of each prompt
)


def prompt(
    template: str,
    text: str,
    *,
    instruction: str | None = None,
    answer_start: str = "",
    uses_adapter: bool = False,
    **parameters: Any,
) -> Prompt:
    """The prompt for a question on the text of a window; `parameters` fill the template of the question.

    `instruction`: name of a template that several questions on the window share; it becomes part of the
    prefix.
    """
    shared = ["document.jinja", *([f"{instruction}.jinja"] if instruction else [])]
    return Prompt(
        document="".join(_templates.get_template(name).render(text=text) for name in shared),
        question=_templates.get_template(f"{template}.jinja").render(**parameters),
        answer_start=answer_start,
        uses_adapter=uses_adapter,
    )


def templates_sha256(*templates: str) -> str:
    """Digest of these templates and of the document template, as 16 hex digits; part of a recipe."""
    digest = hashlib.sha256()
    for name in ("document", *templates):
        digest.update((_FOLDER / f"{name}.jinja").read_bytes())
    return digest.hexdigest()[:16]
