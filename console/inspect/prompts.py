"""`notemill prompts`: prints the prompts of a note, token by token, without sending them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from console.inspect.show import NoSuchNoteError
from console.terminal.opened_database import database
from console.terminal.terminal import printable, stdout
from models.answers import Task
from models.documents import Document
from models.errors import UsageError
from models.jobs import Question
from models.labels import Label, load_labels
from models.queries.patient_names import patient_names_of
from models.security.audit_trail import Action
from models.settings import Settings, load_settings
from producer.sources.sources import open_sources
from producer.submission.questions import questions_for
from worker.engine.api import CompareRequest, Request, ScoreRequest
from worker.engine.prompting.chat_template import Chat
from worker.engine.task_coroutine import TaskCoroutine
from worker.entities.entity_task import extract_entities
from worker.note.parsed_note import Note
from worker.privacy.deidentified_work import deidentified_question
from worker.privacy.surrogates import Surrogates
from worker.search.search_task import search_note
from worker.summary.summary_task import summarize
from worker.weights.task_config import TaskConfig, task_config


def show_prompts(
    reference: str,
    tasks: Sequence[str],
    searches: Sequence[str],
    labels_file: Path | None,
    summary_words: int | None,
) -> int:
    """Prints the first requests of each question; later ones, as for long summaries, depend on replies."""
    from worker.engine.prompting.tokenizer import load_chat

    settings = load_settings()
    questions = questions_for(
        tasks or (() if searches else ("entities", "summary")),
        searches,
        summary_words=summary_words or settings.summary_words,
    )
    labels = load_labels(labels_file or settings.labels_file)
    (text, names), config, chat = _text(reference, settings), task_config(settings), load_chat(settings)
    surrogates = Surrogates.of(text, names) if config.is_deidentified else None
    note = Note.of(
        surrogates.deidentified_text if surrogates else text,
        lambda part: len(chat.plain(part)),
        config.window_tokens,
        config.summary_window_tokens,
    )
    console = stdout()
    for question in questions:
        question = deidentified_question(question, surrogates) if surrogates else question
        requests = list(first_requests(question, note, labels, config))
        for number, request in enumerate(requests, start=1):
            _print(console, question, request, chat, f"{number} of {len(requests)}")
    return 0


def first_requests(
    question: Question, note: Note, labels: tuple[Label, ...], config: TaskConfig
) -> Iterator[Request]:
    """The requests of a question before any reply."""
    yield from next(_conversation(question, note, labels, config))


def _conversation(
    question: Question, note: Note, labels: tuple[Label, ...], config: TaskConfig
) -> TaskCoroutine:
    match question.task:
        case Task.ENTITIES:
            return extract_entities(note, labels, config)
        case Task.SEARCH:
            return search_note(note, str(question.parameters["query"]), config)
        case Task.SUMMARY:
            return summarize(note, int(question.parameters["max_words"]), config)


def _print(console: Console, question: Question, request: Request, chat: Chat, number: str) -> None:
    if isinstance(request, CompareRequest):
        words = f"{question.task} · {number} · compares the query with {len(request.texts):,} sentences"
        console.print(Rule(Text(words, style="bold"), align="left", style="dim"))
        return
    encoded = chat.encode(request.prompt)
    words = f"{question.task} · {number} · {len(encoded.tokens):,} tokens, {encoded.shared_tokens:,} of them"
    words += " the note's"
    if isinstance(request, ScoreRequest):
        words += f" · decides {len(chat.plain(request.copy)):,} tokens of the note's copy among"
        words += ", and ".join(f" {' '.join(choice.words)}" for choice in request.choices)
    else:
        limit = "in a form" if request.output_format else "freely"
        words += f" · writes up to {request.max_tokens:,} tokens {limit}"
    console.print(Rule(Text(words, style="bold"), align="left", style="dim"))
    console.print(Text(printable(chat.tokenizer.decode(encoded.tokens))), soft_wrap=True)


def _text(reference: str, settings: Settings) -> tuple[str, tuple[str, ...]]:
    """The text of a file or of a stored note, and the patient's names in its metadata."""
    if Path(reference).is_file():
        first = next(open_sources([reference]).records, None)
        if not isinstance(first, Document):
            raise UsageError(f"{reference} holds no note: {first.reason if first else 'it is empty'}.")
        return first.text, ()
    with database(settings) as opened:
        document = opened.queries.document(reference)
        if document is not None:
            opened.store.note(Action.SHOW, document=document.id)
            names = patient_names_of(opened.engine, document.id)
    if document is None:
        raise NoSuchNoteError(f"no note goes by that id, and there is no file {reference}.")
    return document.text, names
