"""Evaluation of summaries: faithfulness to the note, and ROUGE if there is a reference.

Reads a dialogue or a text, with or without a section or a note that a person wrote from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.answers import Answer, EntitiesAnswer, Entity, Span, SummaryAnswer, Task
from models.jobs import Question
from training.evaluation.cases import Case, Side
from training.evaluation.evaluation_result import Result
from training.evaluation.metrics.counts import Counts, figures, mean_interval
from training.evaluation.metrics.faithfulness_metrics import Faithfulness, faithfulness_of
from training.evaluation.pipeline_runner import Answers, PipelineRunner, are_offsets_true
from training.evaluation.records.evaluation_data import Record, require_fields
from worker.note.sentence_splitter import sentences

_NOTES = ("dialogue", "text")
_REFERENCES = ("summary", "section_text", "note")
_LEAD_SENTENCES = 3
_SAME_SHARE = 0.3
_MEASURES = ("rouge1", "rouge2", "rougeL")


def evaluate(
    records: Sequence[Record], path: Path, baselines: Sequence[str], runner: PipelineRunner, max_words: int
) -> Result:
    """Summarizes each record, and extracts the entities of notes and summaries to compare them."""
    require_fields(records, path, *_NOTES)
    notes = [next(record[name] for name in _NOTES if name in record) for record in records]
    references = [next((record[n] for n in _REFERENCES if n in record), None) for record in records]
    question = Question(task=Task.SUMMARY, parameters={"max_words": max_words})
    answers = runner.ask(notes, [question] * len(notes))
    summaries = [_text_of(answer) for answer in answers.answers]
    note_entities = _entities(runner, notes)
    faithfulness = _faithfulness(runner, notes, summaries, note_entities)
    offset_checks = [
        are_offsets_true(note, answer)
        for note, answer in zip(notes, answers.answers, strict=True)
        if answer is not None
    ]
    keys = [record.get("keys") for record in records]
    measured = measure(summaries, references, faithfulness)
    measured |= _key_figures(keys, [_sources_of(answer) for answer in answers.answers])
    measured["offsets_true"] = sum(offset_checks) / len(offset_checks) if offset_checks else 1.0
    measured |= {"max_words": max_words, **answers.figures()}
    if "lead3" in baselines:
        leads = [lead(note) for note in notes]
        lead_sources = [sentences(note)[:_LEAD_SENTENCES] for note in notes]
        measured["baselines"] = {
            "lead3": measure(leads, references, _faithfulness(runner, notes, leads, note_entities))
            | _key_figures(keys, lead_sources)
        }
    rows = zip(records, notes, references, summaries, faithfulness, strict=True)
    return Result(measured, [_case(*row) for row in rows])


def lead(note: str) -> str:
    """The note's first three sentences."""
    return " ".join(note[sentence.start : sentence.end] for sentence in sentences(note)[:_LEAD_SENTENCES])


def measure(
    summaries: Sequence[str], references: Sequence[str | None], faithfulness: Sequence[Faithfulness]
) -> dict[str, Any]:
    """ROUGE F-measures (Lin 2004, stemmed) over records with a reference; faithfulness over all."""
    pairs = [
        (summary, reference) for summary, reference in zip(summaries, references, strict=True) if reference
    ]
    metrics: dict[str, Any] = _rouge(pairs) if pairs else {}
    parts = {
        "numbers": [summary_counts.numbers for summary_counts in faithfulness],
        "medications": [summary_counts.medications for summary_counts in faithfulness],
        "problems": [summary_counts.problems for summary_counts in faithfulness],
        "numbers_and_medications": [
            summary_counts.numbers + summary_counts.medications for summary_counts in faithfulness
        ],
    }
    metrics["faithfulness"] = {name: _share(counts) for name, counts in parts.items()}
    metrics["findings_covered"] = _share([summary_counts.covered for summary_counts in faithfulness])
    metrics["words"] = round(sum(len(summary.split()) for summary in summaries) / len(summaries), 1)
    return metrics


def key_counts(keys: Sequence[Sequence[int]], sources: Sequence[Span]) -> Counts:
    """Counts sources that are key sentences, and key sentences that are sources.

    `keys`: [start, end] of the sentences that a reader calls the most important. Two spans match if they
    share more than 0.3 of the shorter one.
    """
    spans = [Span(start=start, end=end) for start, end in keys]
    return Counts(
        sum(any(_is_same_sentence(source, key) for key in spans) for source in sources),
        len(sources),
        sum(any(_is_same_sentence(source, key) for source in sources) for key in spans),
        len(spans),
    )


def _is_same_sentence(span: Span, other: Span) -> bool:
    common = min(span.end, other.end) - max(span.start, other.start)
    return common > _SAME_SHARE * min(span.end - span.start, other.end - other.start)


def _key_figures(
    keys: Sequence[Sequence[Sequence[int]] | None], sources: Sequence[Sequence[Span]]
) -> dict[str, Any]:
    """Precision: the share of what a summary tells that is key. Recall: the share of keys that it tells."""
    counts = [
        key_counts(keys_of_note, sources_of_note)
        for keys_of_note, sources_of_note in zip(keys, sources, strict=True)
        if keys_of_note is not None
    ]
    return {"keys": figures(counts)} if counts else {}


def _sources_of(answer: Answer | None) -> list[Span]:
    if not isinstance(answer, SummaryAnswer):
        return []
    return [source for sentence in answer.summary.sentences for source in sentence.sources]


def _share(counts: Sequence[Counts]) -> dict[str, Any]:
    """The share of right items with its interval; 1 if there is none."""
    whole = figures(counts)
    total = sum(record_counts.predicted for record_counts in counts)
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
    metrics: dict[str, Any] = {}
    for name in _MEASURES:
        values = [score[name].fmeasure for score in scores]
        metrics |= {name: round(sum(values) / len(values), 4), f"{name}_interval": mean_interval(values)}
    return metrics


def _faithfulness(
    runner: PipelineRunner,
    notes: Sequence[str],
    summaries: Sequence[str],
    note_entities: Sequence[tuple[Entity, ...]],
) -> list[Faithfulness]:
    summary_entities = _entities(runner, summaries)
    return [
        faithfulness_of(*values)
        for values in zip(notes, summaries, note_entities, summary_entities, strict=True)
    ]


def _entities(runner: PipelineRunner, texts: Sequence[str]) -> list[tuple[Entity, ...]]:
    """The entities of each text; none for an empty one."""
    filled = [text for text in texts if text.strip()]
    answers: Answers = runner.ask(filled, [Question(task=Task.ENTITIES)] * len(filled))
    answer_of_filled = iter(answers.answers)
    return [_of_answer(next(answer_of_filled)) if text.strip() else () for text in texts]


def _of_answer(answer: Answer | None) -> tuple[Entity, ...]:
    return answer.entities if isinstance(answer, EntitiesAnswer) else ()


def _text_of(answer: Answer | None) -> str:
    return answer.summary.text if isinstance(answer, SummaryAnswer) else ""


def _case(record: Record, note: str, reference: str | None, summary: str, faithfulness: Faithfulness) -> Case:
    remarks = [f"not in the note: {words}" for words in faithfulness.unfaithful]
    if reference:
        remarks.append(f"written by a person: {reference}")
    return Case(
        title=f"{record.get('id', '')} {record.get('section', '')}".strip(),
        gold=Side(note),
        predicted=Side(summary),
        errors=len(remarks),
        remarks=tuple(remarks),
    )
