"""Entities: every mention with its label, assertion and attributes, in one of two forms.

`marks` are decided on a second copy of each window, for labels the adapter was trained for; `list` is
written under a grammar, a branch a label, for any weights and any labels, and put back in its places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.answers import EntitiesAnswer, Entity, Span, Task
from models.labels import Label
from models.outcomes import Reason
from worker.assertion import assertion
from worker.attributes import PATTERNED, without_attributes
from worker.conversation import Answered, Conversation, UnansweredError
from worker.decisions import decide_marks, mark_words, marked_labels
from worker.engine import Decide, Decided, Reply, Write, Written
from worker.forms import EntityList
from worker.grounding import Item, place, spread
from worker.linking import with_attributes
from worker.note import Note
from worker.prompts import prompt
from worker.recipes import Ways

LIST_ITEMS = 16
"""The most that a list may name of one label in one window."""
LIST_TOKENS = 24 * LIST_ITEMS
"""Room for that many of the longest spans, so that a list is never cut."""
_DONE = frozenset({"medication", "test", "procedure"})
"""Labels of what is done to a patient; the others are found."""


@dataclass(frozen=True, slots=True)
class Mention:
    """Characters [start, end) of the note under one label."""

    start: int
    end: int
    label: str
    probability: float | None


def ask_entities(note: Note, labels: Sequence[Label], how: Ways) -> Conversation:
    """Every mention in the order of the note."""
    if how.are_marked(labels):
        replies = yield marks_requests(note, [label.name for label in labels], how)
        mentions = marks_found(note, replies, [label.name for label in labels])
    else:
        listed = [label for label in labels if label.name not in PATTERNED]
        replies = yield _list_requests(note, listed)
        mentions = _listed(note, replies, listed)
    answer = EntitiesAnswer(entities=entities_of(note, mentions, labels))
    return Answered(answer, note.windows_read)


def marks_requests(note: Note, names: Sequence[str], how: Ways) -> list[Decide]:
    """One a window: after each token, what begins, goes on, or nothing."""
    labels = marked_labels(names)
    return [
        Decide(
            prompt=prompt(
                "entities_marks", text, labels=labels, is_adapted=Task.ENTITIES in how.adapted_tasks
            ),
            copy=text,
            words=mark_words(labels),
        )
        for window in note.windows
        for text in (note.text[window.start : window.end],)
    ]


def marks_found(note: Note, replies: Sequence[Reply], names: Sequence[str]) -> list[Mention]:
    """The marks of each window's own part of the note."""
    labels, mentions = marked_labels(names), []
    for window, reply in zip(note.windows, replies, strict=True):
        assert isinstance(reply, Decided)
        text = note.text[window.start : window.end]
        for mark in decide_marks(text, reply.spans, reply.log_probabilities, labels):
            if mark.start + window.start >= window.core_start:
                start, end = mark.start + window.start, mark.end + window.start
                if mark.label == "medication":
                    start = without_attributes(note.text, start, end)
                mentions.append(Mention(start, end, mark.label, mark.probability))
    return mentions


def entities_of(note: Note, mentions: Iterable[Mention], labels: Sequence[Label]) -> tuple[Entity, ...]:
    """Mentions with their assertion, attributes attached to the entities they belong to."""
    owners = {label.name for label in labels if label.attribute_of is None}
    ordered = sorted(mentions, key=lambda one: (one.start, one.end))
    entities = [_entity(note, mention) for mention in ordered if mention.label in owners]
    decided = [mention for mention in ordered if mention.label not in owners]
    return with_attributes(note, entities, [(one.start, one.end, one.label) for one in decided], labels)


def _entity(note: Note, mention: Mention) -> Entity:
    sentence = note.sentence_at(mention.start)
    end = min(mention.end, sentence.end)
    return Entity(
        start=mention.start,
        end=mention.end,
        text=note.text[mention.start : mention.end],
        label=mention.label,
        assertion=assertion(
            note.text[sentence.start : sentence.end],
            mention.start - sentence.start,
            end - sentence.start,
            note.section_at(mention.start).kind,
            is_done=mention.label in _DONE,
        ),
        probability=mention.probability,
    )


def _list_requests(note: Note, labels: Sequence[Label]) -> list[Write]:
    return [
        Write(
            prompt=prompt("entities_list", text, label=label, answer_start=f"{label.name.capitalize()}:"),
            max_tokens=LIST_TOKENS,
            form=EntityList(text, LIST_ITEMS),
        )
        for window in note.windows
        for text in (note.text[window.start : window.end],)
        for label in labels
    ]


def _listed(note: Note, replies: Sequence[Reply], labels: Sequence[Label]) -> list[Mention]:
    mentions = []
    for index, window in enumerate(note.windows):
        items: list[Item] = []
        for label, reply in zip(
            labels, replies[index * len(labels) : (index + 1) * len(labels)], strict=True
        ):
            assert isinstance(reply, Written)
            items += [Item(label.name, surface) for surface in _surfaces(reply)]
        core = Span(start=window.core_start, end=window.core_end)
        placed = place(note.text, Span(start=window.start, end=window.end), items).placed
        own = [one for one in placed if one.start >= window.core_start]
        mentions += [Mention(one.start, one.end, one.label, None) for one in spread(note.text, core, own)]
    return mentions


def _surfaces(reply: Written) -> list[str]:
    """Raises UnansweredError for a list that was cut short."""
    if not reply.is_complete:
        raise UnansweredError(Reason.UNPARSABLE, f"a list was cut after {reply.completion_tokens} tokens")
    written = reply.text.strip()
    return [] if written == "none" else [surface.strip() for surface in written.split("; ")]
