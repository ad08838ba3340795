"""Error pages: cases with errors as one HTML document, every text escaped, nothing fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.evaluation.cases import Case, segments, worst_first

MOST_CASES = 200
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


def errors_page(cases: Sequence[Case], title: str) -> str:
    """The cases with errors, worst first, as one HTML document."""
    shown = worst_first(cases)
    subtitle = f"{len(shown):,} of {len(cases):,} have errors"
    subtitle += f"; the worst {MOST_CASES} are shown." if len(shown) > MOST_CASES else "."
    page = _templates.get_template("errors.html.jinja")
    return page.render(title=title, subtitle=subtitle, cases=shown[:MOST_CASES], segments=segments)
