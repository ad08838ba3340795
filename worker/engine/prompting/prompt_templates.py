"""The words around a note: one template a question, the document always first.

Templates end without a line feed of their own; what is sent is exactly what they say. Knows no tokens:
`worker.engine.prompting.chat_template` puts the prompt into the weights' chat format.
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
    auto_reload=False,  # it would ask the file system about each template of each prompt
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
    """The prompt that asks `template`'s question, with its parameters, of a window's text.

    `instruction`: a template of what several questions on the window begin with, read once for all of them.
    """
    shared = ["document.jinja", *([f"{instruction}.jinja"] if instruction else [])]
    return Prompt(
        document="".join(_templates.get_template(one).render(text=text) for one in shared),
        question=_templates.get_template(f"{template}.jinja").render(**parameters),
        answer_start=answer_start,
        uses_adapter=uses_adapter,
    )


def templates_sha256(*templates: str) -> str:
    """Identity of the wording of these templates, the document's included; part of a recipe."""
    whole = hashlib.sha256()
    for name in ("document", *templates):
        whole.update((_FOLDER / f"{name}.jinja").read_bytes())
    return whole.hexdigest()[:16]
