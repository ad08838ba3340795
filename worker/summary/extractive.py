"""The extractive summary: mentions and sentences of the note, grouped into sections.

Faithful by construction: every part is text of the note. Tagged mentions make up the problems, findings and
medications; sentence kinds select the course and the follow-up.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from models.answers import Assertion, Entity, Span, SummarySentence
from models.labels import Label
from worker.engine.api import Reply, Request
from worker.entities.entity_task import entities_of
from worker.entities.window_tagging import sentence_kinds, tagged_mentions, tagging_requests
from worker.note.dialogue import DialogueStatement, dialogue_statements, is_in_question
from worker.note.parsed_note import Note
from worker.summary.diagnosis_items import (
    MAX_TITLE_WORDS,
    diagnosis_items,
    normal_finding_items,
    problem_items,
    procedure_items,
)
from worker.summary.mention_lists import is_in_topic_section, main_mention, medication_list, mention_list
from worker.summary.sentence_selection import (
    course_candidates,
    plan_candidates,
    select_sentences,
    sentence_body,
)
from worker.summary.sourced_phrases import SourcedPhrase, count_words, within_word_limit
from worker.weights.task_config import TaskConfig

_SHARES = {"Problems": 0.25, "Findings": 0.13, "Medications": 0.2, "Follow-up": 0.2}
"""Share of the word limit of each section; the course gets the rest."""
_MAX_PROBLEMS = 8


def extractive_summary(
    note: Note, max_words: int, config: TaskConfig
) -> Generator[Sequence[Request], list[Reply], list[SummarySentence]]:
    """Yields the requests; returns the title and the sentences of the sections. Omits empty sections."""
    replies = yield tagging_requests(note, config)
    kinds = sentence_kinds(note, replies)
    labels = tuple(
        Label(name=name, definition=name, attribute_of=_owner_label(name)) for name in config.tagged_labels
    )
    entities = entities_of(note, tagged_mentions(note, replies, config), labels, config.negation_model)
    if statements := dialogue_statements(note):
        return _dialogue_summary(note, entities, statements, max_words)
    words = {name: round(share * max_words) for name, share in _SHARES.items()}
    lists = {
        "Problems": _problems(note, entities, words["Problems"]),
        "Findings": mention_list(note, entities, "test", words["Findings"]),
        "Medications": medication_list(note, entities, words["Medications"]),
    }
    plan = select_sentences(
        note,
        plan_candidates(
            note, [(sentence, probabilities["plan"]) for sentence, probabilities in kinds], config
        ),
        words["Follow-up"],
        excluded=(),
    )
    title = _title(note, entities)
    used_words = sum(count_words(phrase) for phrases in (*lists.values(), plan, title) for phrase in phrases)
    course = select_sentences(
        note,
        course_candidates(note, [(sentence, probabilities["course"]) for sentence, probabilities in kinds]),
        max_words - used_words,
        excluded=[
            phrase.source
            for phrases in (plan, title, diagnosis_items(note, _negated(entities)))
            for phrase in phrases
        ],
    )
    return [
        SummarySentence(
            section="", text=_capitalised("; ".join(phrase.text for phrase in title)), sources=_sources(title)
        ),
        *_one_sentence("Problems", lists["Problems"]),
        *_sentence_each("Course", course),
        *_one_sentence("Findings", lists["Findings"]),
        *_one_sentence("Medications", lists["Medications"]),
        *_sentence_each("Follow-up", plan),
    ]


def _dialogue_summary(
    note: Note, entities: Sequence[Entity], statements: Sequence[DialogueStatement], max_words: int
) -> list[SummarySentence]:
    """The summary of a dialogue: its statements that fit. Mention lists would include what patients deny."""
    affirmed = [entity for entity in entities if not is_in_question(note, entity.start)]
    title = main_mention(note, affirmed, "problem", 6)
    words_left, course = max_words - sum(count_words(phrase) for phrase in title), []
    for statement in statements:
        if len(statement.text.split()) <= words_left:
            words_left -= len(statement.text.split())
            course.append(SummarySentence(section="Course", text=statement.text, sources=statement.sources))
    heading = _capitalised("; ".join(phrase.text for phrase in title)) or "Conversation"
    return [SummarySentence(section="", text=heading, sources=_sources(title)), *course]


def _problems(note: Note, entities: Sequence[Entity], max_words: int) -> list[SourcedPhrase]:
    """The stated diagnoses, then the most important other mentions of problems."""
    diagnoses = [
        phrase
        for _, phrase in within_word_limit(
            ((phrase.source, phrase) for phrase in problem_items(note, _negated(entities))), max_words
        )
    ]
    diagnoses_text = " ".join(phrase.text for phrase in diagnoses).lower()
    words_left = max_words - sum(map(count_words, diagnoses))
    mentions = mention_list(note, entities, "problem", words_left)
    others = [phrase for phrase in mentions if phrase.text.lower() not in diagnoses_text]
    return [*diagnoses, *others[: max(0, _MAX_PROBLEMS - len(diagnoses))]]


def _negated(entities: Sequence[Entity]) -> list[Entity]:
    return [entity for entity in entities if entity.assertion is Assertion.NEGATED]


def _title(note: Note, entities: Sequence[Entity]) -> list[SourcedPhrase]:
    """The stated diagnosis or main problem, and the main procedure; without either, the first words."""
    in_topic_section = [entity for entity in entities if is_in_topic_section(note, entity)]
    negated = _negated(entities)
    problems = (
        problem_items(note, negated)
        or normal_finding_items(note, negated)
        or main_mention(note, entities, "problem", 6)
    )
    title = [
        *problems[:1],
        *(procedure_items(note) or main_mention(note, in_topic_section, "procedure", 8)),
    ]
    if title:
        return title
    sentence = _first_content_sentence(note)
    words = (sentence_body(note, sentence) or note.text[sentence.start : sentence.end]).split()
    return [SourcedPhrase(" ".join(words[:MAX_TITLE_WORDS]), sentence)]


def _first_content_sentence(note: Note) -> Span:
    """The first sentence that is more than a heading; otherwise the first sentence."""
    for sentence in note.sentences:
        if sentence.end > note.section_at(sentence.start).body_start:
            return sentence
    return note.sentences[0]


def _one_sentence(section: str, phrases: Sequence[SourcedPhrase]) -> list[SummarySentence]:
    """One sentence that lists the phrases, or none without phrases."""
    if not phrases:
        return []
    text = _capitalised("; ".join(phrase.text for phrase in phrases)).removesuffix(".") + "."  # "2.5 mg q.d."
    return [SummarySentence(section=section, text=text, sources=_sources(phrases))]


def _sentence_each(section: str, phrases: Sequence[SourcedPhrase]) -> list[SummarySentence]:
    return [
        SummarySentence(section=section, text=phrase.text, sources=(phrase.source,)) for phrase in phrases
    ]


def _sources(phrases: Iterable[SourcedPhrase]) -> tuple[Span, ...]:
    return tuple(dict.fromkeys(phrase.source for phrase in phrases))


def _owner_label(name: str) -> str | None:
    return {"dosage": "medication", "frequency": "medication", "route": "medication", "value": "test"}.get(
        name
    )


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
