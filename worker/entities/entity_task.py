"""The entity task: every mention with its label, assertion status and attributes.

Tagging scores label words on a second copy of each window, for the labels that the adapter was trained for.
The generative form writes one list per label under a grammar, for any weights and labels, and grounds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from models.answers import Assertion, EntitiesAnswer, Entity, Span
from models.labels import Label
from models.outcomes import Reason
from worker.engine.api import GenerateRequest, GenerateResult, Reply
from worker.engine.output_formats import EntityList
from worker.engine.prompting.prompt_templates import prompt
from worker.engine.task_coroutine import TaskAnswer, TaskCoroutine, UnusableReplyError
from worker.entities.assertion_rules import assertions, highest_priority
from worker.entities.attribute_linking import link_attributes
from worker.entities.attribute_patterns import PATTERN_KINDS
from worker.entities.list_grounding import ListItem, ground, with_repeats
from worker.entities.window_tagging import Mention, tagged_mentions, tagging_requests
from worker.note.parsed_note import Note
from worker.weights.negation_model import NegationModel
from worker.weights.task_config import TaskConfig

LIST_ITEMS = 16
"""Maximum items of a generated list, for one label and window."""
LIST_TOKENS = 24 * LIST_ITEMS
"""Token limit of a list: enough for the maximum number of the longest spans, so that no list is cut."""


def extract_entities(note: Note, labels: Sequence[Label], config: TaskConfig) -> TaskCoroutine:
    """The coroutine of the entity task; the answer has every mention in the order of the note."""
    if config.are_tagged(labels):
        replies = yield tagging_requests(note, config)
        mentions = tagged_mentions(note, replies, config)
    else:
        generated_labels = [label for label in labels if label.name not in PATTERN_KINDS]
        replies = yield _list_requests(note, generated_labels)
        mentions = _grounded_mentions(note, replies, generated_labels)
    answer = EntitiesAnswer(entities=entities_of(note, mentions, labels, config.negation_model))
    return TaskAnswer(answer, note.window_ranges)


def entities_of(
    note: Note,
    mentions: Iterable[Mention],
    labels: Sequence[Label],
    negation_model: NegationModel | None = None,
) -> tuple[Entity, ...]:
    """The mentions as entities with their assertion status; attributes are attached to their entities."""
    owners = {label.name for label in labels if label.attribute_of is None}
    ordered = sorted(mentions, key=lambda mention: (mention.start, mention.end))
    entities = [_entity(note, mention, negation_model) for mention in ordered if mention.label in owners]
    tagged_attributes = [mention for mention in ordered if mention.label not in owners]
    return link_attributes(
        note, entities, [(mention.start, mention.end, mention.label) for mention in tagged_attributes], labels
    )


def rule_assertions(note: Note, mention: Mention) -> frozenset[Assertion]:
    """The assertions that the rules find for a mention; empty means present."""
    sentence = note.sentence_at(mention.start)
    return assertions(
        note.text[sentence.start : sentence.end],
        mention.start - sentence.start,
        min(mention.end, sentence.end) - sentence.start,
        note.section_at(mention.start).kind,
        mention.label,
    )


def _entity(note: Note, mention: Mention, negation_model: NegationModel | None) -> Entity:
    statuses = rule_assertions(note, mention)
    if negation_model is not None and mention.negation_log_odds is not None:
        statuses = negation_model.apply(statuses, mention.negation_log_odds)
    return Entity(
        start=mention.start,
        end=mention.end,
        text=note.text[mention.start : mention.end],
        label=mention.label,
        assertion=highest_priority(statuses),
        probability=mention.probability,
    )


def _list_requests(note: Note, labels: Sequence[Label]) -> list[GenerateRequest]:
    return [
        list_request(note.text[window.start : window.end], label)
        for window in note.windows
        for label in labels
    ]


def list_request(text: str, label: Label) -> GenerateRequest:
    """The request for a list of all mentions of one label in a window; training uses the same prompt."""
    return GenerateRequest(
        prompt=prompt(
            "entities_list",
            text,
            instruction="entities_list_instruction",
            label=label,
            answer_start=f"{label.name.capitalize()}:",
        ),
        max_tokens=LIST_TOKENS,
        output_format=EntityList(text, LIST_ITEMS),
    )


def _grounded_mentions(note: Note, replies: Sequence[Reply], labels: Sequence[Label]) -> list[Mention]:
    """The mentions of the generated lists, each taken from the window whose core contains its start."""
    mentions = []
    for index, window in enumerate(note.windows):
        items: list[ListItem] = []
        for label, reply in zip(
            labels, replies[index * len(labels) : (index + 1) * len(labels)], strict=True
        ):
            assert isinstance(reply, GenerateResult)
            items += [ListItem(label.name, surface) for surface in _surfaces(reply)]
        core = Span(start=window.core_start, end=window.core_end)
        grounded = ground(note.text, Span(start=window.start, end=window.end), items).mentions
        core_mentions = [mention for mention in grounded if mention.start >= window.core_start]
        mentions += [
            Mention(mention.start, mention.end, mention.label, None)
            for mention in with_repeats(note.text, core, core_mentions)
        ]
    return mentions


def _surfaces(reply: GenerateResult) -> list[str]:
    """The items of a generated list. Raises UnusableReplyError if the list was cut."""
    if not reply.is_complete:
        raise UnusableReplyError(Reason.UNPARSABLE, f"a list was cut after {reply.completion_tokens} tokens")
    text = reply.text.strip()
    return [] if text == "none" else [surface.strip() for surface in text.split("; ")]
