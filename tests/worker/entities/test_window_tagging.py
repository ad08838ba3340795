"""Window tagging: one request per window yields the mentions of the note and the kinds of its sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from task_configs import CONFIG

from worker.engine.api import ScoreRequest, ScoreResult, Scores
from worker.engine.prompting.label_words import ASSERTION_WORDS, SENTENCE_KINDS, tag_words, tagged_labels
from worker.entities.window_tagging import sentence_kinds, tagged_mentions, tagging_requests
from worker.note.parsed_note import Note

TEXT = "NECK: Supple.\nPSYCHIATRIC: Calm.\nDIAGNOSIS: Gout of the toe.\nPLAN: Rest. Come back in two weeks."


def scripted_reply(request: ScoreRequest, labels_by_word: dict[str, str]) -> ScoreResult:
    """Returns a reply in which words and single characters are tokens; a sentence that ends in "weeks" is a
    plan."""
    tags, kinds, assertions = request.choices
    start_columns = {name: 1 + 2 * index for index, name in enumerate(CONFIG.tagged_labels)}
    ends = [offset for offset in range(1, len(request.copy) + 1) if not request.copy[offset:][:1].isalpha()]
    words = [max(request.copy[:end].rfind(" "), request.copy[:end].rfind("\n")) + 1 for end in ends]
    spans = [(max(word, before), end) for word, before, end in zip(words, [0, *ends[:-1]], ends, strict=True)]
    tag_scores = np.full((len(spans), len(tags.words)), -9.0, np.float32)
    for row, (start, end) in enumerate(spans):
        label = labels_by_word.get(request.copy[start:end].strip(" .:"))
        tag_scores[row, start_columns[label] if label else 0] = 0.0
    kind_scores = np.full((len(kinds.ends), len(kinds.words)), -9.0, np.float32)
    for row, end in enumerate(kinds.ends):
        is_plan = "weeks" in request.copy[max(0, end - 8) : end]
        kind_scores[row, SENTENCE_KINDS.index("plan" if is_plan else "other")] = 0.0
    kind_spans = tuple((max(0, end - 1), end) for end in kinds.ends)
    assertion_scores = np.full((len(spans), len(assertions.words)), np.log(0.2), np.float32)
    scores = (
        Scores(tuple(spans), tag_scores),
        Scores(kind_spans, kind_scores),
        Scores(tuple(spans), assertion_scores),
    )
    return ScoreResult(scores, 1)


@pytest.fixture
def note() -> Note:
    return Note.of(TEXT, lambda part: len(part.split()), CONFIG.window_tokens, CONFIG.summary_window_tokens)


def test_one_request_per_window_asks_for_tags_sentence_kinds_and_assertions(note: Note) -> None:
    requests = tagging_requests(note, CONFIG)
    assert len(requests) == len(note.windows)
    for request in requests:
        tags, kinds, assertions = request.choices
        assert tags.words == tag_words(tagged_labels(CONFIG.tagged_labels))
        assert kinds.words == SENTENCE_KINDS
        assert assertions.words == tuple(ASSERTION_WORDS)
        assert all(word in request.prompt.question for word in (*SENTENCE_KINDS, *ASSERTION_WORDS))


def test_a_section_heading_is_no_mention_unless_it_is_anatomy(note: Note) -> None:
    labels_by_word = {
        "NECK": "anatomy",
        "PSYCHIATRIC": "problem",
        "DIAGNOSIS": "problem",
        "Gout": "problem",
        "toe": "anatomy",
    }
    replies = [scripted_reply(request, labels_by_word) for request in tagging_requests(note, CONFIG)]
    mentions = [
        (TEXT[mention.start : mention.end], mention.label)
        for mention in tagged_mentions(note, replies, CONFIG)
    ]
    assert mentions == [("NECK", "anatomy"), ("Gout", "problem"), ("toe", "anatomy")]


def test_each_sentence_is_returned_once_with_its_kinds(note: Note) -> None:
    replies = [scripted_reply(request, {}) for request in tagging_requests(note, CONFIG)]
    kinds = sentence_kinds(note, replies)
    assert [sentence for sentence, _ in kinds] == list(note.sentences)
    best_kinds = {
        TEXT[sentence.start : sentence.end]: max(probabilities, key=probabilities.__getitem__)
        for sentence, probabilities in kinds
    }
    assert best_kinds["Come back in two weeks."] == "plan"
    assert list(best_kinds.values()).count("plan") == 1


def test_an_adjective_alone_is_no_mention() -> None:
    text = "There is severe soft swelling. Severe gout was mild."
    note = Note.of(text, lambda part: len(part.split()), CONFIG.window_tokens, CONFIG.summary_window_tokens)
    labels_by_word = {"severe": "problem", "soft": "problem", "gout": "problem", "mild": "anatomy"}
    replies = [scripted_reply(request, labels_by_word) for request in tagging_requests(note, CONFIG)]
    assert [text[mention.start : mention.end] for mention in tagged_mentions(note, replies, CONFIG)] == [
        "gout"
    ]


def test_mentions_are_computed_once_for_the_same_replies(note: Note) -> None:
    first, second = (
        [scripted_reply(request, labels_by_word) for request in tagging_requests(note, CONFIG)]
        for labels_by_word in ({"Gout": "problem"}, {"toe": "anatomy"})
    )
    mentions = tagged_mentions(note, first, CONFIG)
    assert tagged_mentions(note, list(first), CONFIG) is mentions
    assert [mention.label for mention in tagged_mentions(note, second, CONFIG)] == ["anatomy"]


def test_a_frequency_is_no_medication() -> None:
    text = "He takes Humulin before breakfast, or qAM."
    config = replace(CONFIG, tagged_labels=("problem", "medication"))
    note = Note.of(text, lambda part: len(part.split()), CONFIG.window_tokens, CONFIG.summary_window_tokens)
    labels_by_word = dict.fromkeys(("Humulin", "qAM"), "anatomy")  # the second label
    replies = [scripted_reply(request, labels_by_word) for request in tagging_requests(note, config)]
    assert [text[mention.start : mention.end] for mention in tagged_mentions(note, replies, config)] == [
        "Humulin"
    ]
