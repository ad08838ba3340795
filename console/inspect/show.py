"""`notemill show`: one note on the terminal with entities highlighted, its summary and passages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.rule import Rule
from rich.text import Text

from console.inspect.highlighted_text import Highlight, bracketed, coloured, colours_of, highlights_of
from console.terminal.opened_database import database
from console.terminal.terminal import command_to_type, printable, shortened, stderr, stdout
from exports.atomic_files import whole_file
from models.documents import StoredDocument, text_sha256
from models.errors import NotemillError
from models.queries.results import newest_answers
from models.security.audit_trail import Action
from models.settings import load_settings
from web.document_page import DocumentView, document_view
from web.single_file import single_file


class NoSuchNoteError(NotemillError):
    """There is no document with that id."""


def show_document(reference: str, *, run_id: int | None, is_plain: bool, html: Path | None = None) -> int:
    """Prints the document. Raises NoSuchNoteError, or UsageError where there is no such run."""
    with database(load_settings()) as opened:
        document = opened.queries.document(reference)
        if document is None:
            ids = command_to_type("sql", "SELECT DISTINCT external_id FROM v_jobs")
            shown_reference = shortened(reference, 80)
            raise NoSuchNoteError(f"no note goes by the id {shown_reference!r}. To list the ids, type: {ids}")
        if run_id is not None:
            opened.queries.run_progress(run_id)
        answers = newest_answers(opened.queries.answers_of(document.id, run_id))
        opened.store.note(Action.SHOW, document=document.id)
        corrections = opened.queries.corrections_of(text_sha256(document.text)) if html else []
    if html is not None:
        return _write_page(html, document_view(document, answers, corrections))
    console = stdout()
    is_plain = is_plain or not console.is_terminal
    for part in page(document, answers, is_plain=is_plain):
        console.print(part, soft_wrap=is_plain)
    return 0


def _write_page(path: Path, view: DocumentView) -> int:
    with whole_file(path) as file:
        file.write(single_file(view).encode())
    stderr().print(f"The page of {shortened(view.document.external_id, 80)} in {path}", soft_wrap=True)
    return 0


def page(
    document: StoredDocument, answers: Sequence[dict[str, Any]], *, is_plain: bool
) -> list[RenderableType]:
    """Note, legend, linked attributes, summary, passages, and unanswered questions."""
    entities = [entity for answer in answers for entity in answer.get("entities", ())]
    highlights = highlights_of(entities)
    note = bracketed(document.text, highlights) if is_plain else coloured(document.text, highlights)
    parts: list[RenderableType] = [_title(document), note, Text()]
    if highlights:
        parts += [_legend(highlights, is_plain=is_plain), *_links(entities)]
    for answer in answers:
        if "summary" in answer:
            parts += summary_lines(answer["summary"])
        if "passages" in answer:
            parts += passage_lines(answer)
    parts += [_open_line(answer) for answer in answers if answer["status"] != "finished"]
    if not answers:
        parts.append(Text("Nothing was asked of this note yet.", style="yellow"))
    return parts


def summary_lines(summary: dict[str, Any]) -> list[RenderableType]:
    """Title, then sections; a flagged sentence says so behind it."""
    lines: list[RenderableType] = [_rule("summary")]
    section = ""
    for sentence in summary["sentences"]:
        if sentence["section"] != section:
            section = sentence["section"]
            lines.append(Text(shortened(section, 200), style="bold underline"))
        text = Text(" ".join(printable(sentence["text"]).split()), style="" if section else "bold")
        for flag in sentence["flags"]:
            text.append(f"  ⚠ {flag.replace('_', ' ')}", style="yellow")
        lines.append(Text("  ").append(text) if section else text)
    return [*lines, Text()]


def passage_lines(answer: dict[str, Any]) -> list[RenderableType]:
    """The sentences that answer a query, with probability and position."""
    lines: list[RenderableType] = [_rule(f"search: {shortened(answer['parameters']['query'], 80)}")]
    for passage in answer["passages"]:
        text = Text(f"{passage['score']:.2f}  ", style="cyan")
        text.append(" ".join(printable(passage["text"]).split()), style="default")
        text.append(f"  [{passage['start']}:{passage['end']}]", style="dim")
        lines.append(text)
    if not answer["passages"]:
        lines.append(Text("No sentence of this note answers it.", style="dim"))
    return [*lines, Text()]


def _title(document: StoredDocument) -> RenderableType:
    source = f" · {shortened(document.source, 80)}" if document.source else ""
    return _rule(f"{shortened(document.external_id, 80)} · document {document.id}{source}")


def _legend(highlights: Sequence[Highlight], *, is_plain: bool) -> Text:
    counts, colours = Counter(highlight.label for highlight in highlights), colours_of(highlights)
    legend = Text()
    for label in colours:
        legend.append(" · " if legend else "")
        legend.append(f"{label} {counts[label]}", "" if is_plain else f"bold {colours[label]}")
    asserted = Counter(highlight.assertion for highlight in highlights if highlight.assertion != "present")
    if asserted:
        legend.append("   " + ", ".join(f"{name} {count}" for name, count in asserted.most_common()), "dim")
    return legend


def _links(entities: Sequence[dict[str, Any]]) -> list[RenderableType]:
    """A line for each entity with its attributes, such as 'aspirin: dosage 81 mg, frequency daily'."""
    lines: list[RenderableType] = []
    for entity in entities:
        if entity["attributes"]:
            words = ", ".join(
                f"{attribute['kind']} {shortened(attribute['text'], 60)}"
                for attribute in entity["attributes"]
            )
            lines.append(Text(f"  {shortened(entity['text'], 60)}: {words}"))
    return [*lines, Text()]


def _open_line(answer: dict[str, Any]) -> Text:
    why = f" ({answer['reason']})" if answer["reason"] else ""
    return Text(f"{answer['task']}: {answer['status']}{why}", style="yellow")


def _rule(words: str) -> Rule:
    return Rule(Text(words, style="bold"), align="left", characters="─", style="dim")
