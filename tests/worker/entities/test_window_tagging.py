"""One reading of a window: marks as mentions of the note, and what each of its sentences tells of."""

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


def answered(request: ScoreRequest, marked: dict[str, str]) -> ScoreResult:
    """Every word and every sign its own token; `marked`: label by word. Those of weeks are of the plan."""
    marks, kinds, assertions = request.choices
    starts = {name: 1 + 2 * place for place, name in enumerate(CONFIG.tagged_labels)}
    ends = [place for place in range(1, len(request.copy) + 1) if not request.copy[place:][:1].isalpha()]
    words = [max(request.copy[:end].rfind(" "), request.copy[:end].rfind("\n")) + 1 for end in ends]
    spans = [(max(word, before), end) for word, before, end in zip(words, [0, *ends[:-1]], ends, strict=True)]
    of_marks = np.full((len(spans), len(marks.words)), -9.0, np.float32)
    for row, (start, end) in enumerate(spans):
        label = marked.get(request.copy[start:end].strip(" .:"))
        of_marks[row, starts[label] if label else 0] = 0.0
    of_kinds = np.full((len(kinds.ends), len(kinds.words)), -9.0, np.float32)
    for row, end in enumerate(kinds.ends):
        is_plan = "weeks" in request.copy[max(0, end - 8) : end]
        of_kinds[row, SENTENCE_KINDS.index("plan" if is_plan else "other")] = 0.0
    own = tuple((max(0, end - 1), end) for end in kinds.ends)
    of_assertions = np.full((len(spans), len(assertions.words)), np.log(0.2), np.float32)
    scores = Scores(tuple(spans), of_marks), Scores(own, of_kinds), Scores(tuple(spans), of_assertions)
    return ScoreResult(scores, 1)


@pytest.fixture
def note() -> Note:
    return Note.of(TEXT, lambda piece: len(piece.split()), CONFIG.window_tokens, CONFIG.summary_window_tokens)


def test_a_window_is_asked_once_for_its_marks_and_for_its_sentences(note: Note) -> None:
    requests = tagging_requests(note, CONFIG)
    assert len(requests) == len(note.windows)
    for request in requests:
        marks, kinds, assertions = request.choices
        assert marks.words == tag_words(tagged_labels(CONFIG.tagged_labels))
        assert kinds.words == SENTENCE_KINDS
        assert assertions.words == tuple(ASSERTION_WORDS)
        assert all(word in request.prompt.question for word in (*SENTENCE_KINDS, *ASSERTION_WORDS))


def test_the_name_of_a_section_is_no_mention_and_a_part_of_the_body_is(note: Note) -> None:
    marked = {
        "NECK": "anatomy",
        "PSYCHIATRIC": "problem",
        "DIAGNOSIS": "problem",
        "Gout": "problem",
        "toe": "anatomy",
    }
    replies = [answered(request, marked) for request in tagging_requests(note, CONFIG)]
    found = [(TEXT[one.start : one.end], one.label) for one in tagged_mentions(note, replies, CONFIG)]
    assert found == [("NECK", "anatomy"), ("Gout", "problem"), ("toe", "anatomy")]


def test_each_sentence_is_told_once_with_its_kinds(note: Note) -> None:
    replies = [answered(request, {}) for request in tagging_requests(note, CONFIG)]
    kinds = sentence_kinds(note, replies)
    assert [sentence for sentence, _ in kinds] == list(note.sentences)
    best = {TEXT[s.start : s.end]: max(of, key=of.__getitem__) for s, of in kinds}
    assert best["Come back in two weeks."] == "plan"
    assert list(best.values()).count("plan") == 1


def test_an_adjective_alone_is_no_mention() -> None:
    text = "There is severe soft swelling. Severe gout was mild."
    note = Note.of(text, lambda piece: len(piece.split()), CONFIG.window_tokens, CONFIG.summary_window_tokens)
    marked = {"severe": "problem", "soft": "problem", "gout": "problem", "mild": "anatomy"}
    replies = [answered(request, marked) for request in tagging_requests(note, CONFIG)]
    assert [text[one.start : one.end] for one in tagged_mentions(note, replies, CONFIG)] == ["gout"]


def test_the_same_replies_are_settled_once_and_others_anew(note: Note) -> None:
    first, second = (
        [answered(request, marked) for request in tagging_requests(note, CONFIG)]
        for marked in ({"Gout": "problem"}, {"toe": "anatomy"})
    )
    mentions = tagged_mentions(note, first, CONFIG)
    assert tagged_mentions(note, list(first), CONFIG) is mentions
    assert [one.label for one in tagged_mentions(note, second, CONFIG)] == ["anatomy"]


def test_how_often_a_medication_is_taken_is_no_medication() -> None:
    text = "He takes Humulin before breakfast, or qAM."
    config = replace(CONFIG, tagged_labels=("problem", "medication"))
    note = Note.of(text, lambda piece: len(piece.split()), CONFIG.window_tokens, CONFIG.summary_window_tokens)
    marked = dict.fromkeys(("Humulin", "qAM"), "anatomy")  # the second label
    replies = [answered(request, marked) for request in tagging_requests(note, config)]
    assert [text[one.start : one.end] for one in tagged_mentions(note, replies, config)] == ["Humulin"]
