"""Evaluation of summaries: ROUGE against a reference where there is one, and faithfulness to the note.

Reads a dialogue or a text, with a section or a note written from it, or without.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.answers import Answer, EntitiesAnswer, Entity, SummaryAnswer, Task
from models.jobs import Question
from training.evaluation.cases import Case, Side
from training.evaluation.evaluation_result import Result
from training.evaluation.metrics.counts import Counts, figures, mean_interval
from training.evaluation.metrics.faithfulness_metrics import Faithfulness, judge
from training.evaluation.pipeline_runner import Answers, PipelineRunner, are_offsets_true
from training.evaluation.records.evaluation_data import Record, wants
from worker.note.sentence_splitter import sentences

_NOTES = ("dialogue", "text")
_REFERENCES = ("summary", "section_text", "note")
_LEAD_SENTENCES = 3
_MEASURES = ("rouge1", "rouge2", "rougeL")


def evaluate(
    records: Sequence[Record], path: Path, baselines: Sequence[str], asking: PipelineRunner, max_words: int
) -> Result:
    """Summarizes each record; then reads notes and summaries for entities, which tell what is in them."""
    wants(records, path, *_NOTES)
    notes = [next(record[name] for name in _NOTES if name in record) for record in records]
    references = [next((record[n] for n in _REFERENCES if n in record), None) for record in records]
    question = Question(task=Task.SUMMARY, parameters={"max_words": max_words})
    answers = asking.ask(notes, [question] * len(notes))
    summaries = [_text_of(answer) for answer in answers.answers]
    known = _entities(asking, notes)
    judged = _judged(asking, notes, summaries, known)
    true = [
        are_offsets_true(note, one)
        for note, one in zip(notes, answers.answers, strict=True)
        if one is not None
    ]
    measured = measure(summaries, references, judged)
    measured["offsets_true"] = sum(true) / len(true) if true else 1.0
    measured |= {"max_words": max_words, **answers.figures()}
    if "lead3" in baselines:
        leads = [lead(note) for note in notes]
        measured["baselines"] = {"lead3": measure(leads, references, _judged(asking, notes, leads, known))}
    rows = zip(records, notes, references, summaries, judged, strict=True)
    return Result(measured, [_case(*row) for row in rows])


def lead(note: str) -> str:
    """The note's first three sentences."""
    return " ".join(note[one.start : one.end] for one in sentences(note)[:_LEAD_SENTENCES])


def measure(
    summaries: Sequence[str], references: Sequence[str | None], judged: Sequence[Faithfulness]
) -> dict[str, Any]:
    """ROUGE F-measures (Lin 2004, stemmed) over records with a reference; faithfulness over all."""
    pairs = [(one, other) for one, other in zip(summaries, references, strict=True) if other]
    told: dict[str, Any] = _rouge(pairs) if pairs else {}
    parts = {
        "numbers": [one.numbers for one in judged],
        "medications": [one.medications for one in judged],
        "problems": [one.problems for one in judged],
        "numbers_and_medications": [one.numbers + one.medications for one in judged],
    }
    told["faithfulness"] = {name: _share(counts) for name, counts in parts.items()}
    told["findings_covered"] = _share([one.covered for one in judged])
    told["words"] = round(sum(len(one.split()) for one in summaries) / len(summaries), 1)
    return told


def _share(counts: Sequence[Counts]) -> dict[str, Any]:
    """The share that is right; 1 where nothing could be wrong."""
    whole = figures(counts)
    total = sum(one.found for one in counts)
    share = whole["precision"] if total else 1.0
    return {
        "share": share,
        "share_interval": whole["precision_interval"] if total else [1.0, 1.0],
        "of": total,
    }


def _rouge(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(_MEASURES, use_stemmer=True)
    scores = [scorer.score(reference, summary) for summary, reference in pairs]
    told: dict[str, Any] = {}
    for name in _MEASURES:
        values = [one[name].fmeasure for one in scores]
        told |= {name: round(sum(values) / len(values), 4), f"{name}_interval": mean_interval(values)}
    return told


def _judged(
    asking: PipelineRunner,
    notes: Sequence[str],
    summaries: Sequence[str],
    known: Sequence[tuple[Entity, ...]],
) -> list[Faithfulness]:
    found = _entities(asking, summaries)
    return [judge(*one) for one in zip(notes, summaries, known, found, strict=True)]


def _entities(asking: PipelineRunner, texts: Sequence[str]) -> list[tuple[Entity, ...]]:
    """The entities of a text; none for an empty one."""
    asked = [text for text in texts if text.strip()]
    answers: Answers = asking.ask(asked, [Question(task=Task.ENTITIES)] * len(asked))
    found = iter(answers.answers)
    return [_of_answer(next(found)) if text.strip() else () for text in texts]


def _of_answer(answer: Answer | None) -> tuple[Entity, ...]:
    return answer.entities if isinstance(answer, EntitiesAnswer) else ()


def _text_of(answer: Answer | None) -> str:
    return answer.summary.text if isinstance(answer, SummaryAnswer) else ""


def _case(record: Record, note: str, reference: str | None, summary: str, judged: Faithfulness) -> Case:
    remarks = [f"not in the note: {one}" for one in judged.unfaithful]
    if reference:
        remarks.append(f"written by a person: {reference}")
    return Case(
        title=f"{record.get('id', '')} {record.get('section', '')}".strip(),
        gold=Side(note),
        found=Side(summary),
        errors=len(remarks),
        remarks=tuple(remarks),
    )
