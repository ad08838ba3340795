"""Evaluation of entities: spans and labels against gold, and calibration of probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.answers import Answer, EntitiesAnswer, Task
from models.jobs import Question
from training.evaluation.baselines.dictionary import Dictionary
from training.evaluation.baselines.registry import EntityBaseline
from training.evaluation.baselines.scispacy import SciSpacy
from training.evaluation.cases import Case, CaseMark, Side
from training.evaluation.evaluation_result import Result
from training.evaluation.metrics import calibration_error
from training.evaluation.metrics.counts import figures
from training.evaluation.metrics.span_matching import Marked, of_label, overlap, strict, touches
from training.evaluation.pipeline_runner import PipelineRunner, are_offsets_true
from training.evaluation.records.evaluation_data import Record, names_here, wants


@dataclass(frozen=True, slots=True)
class _Found:
    """The entities of one answer with labels that the data annotates."""

    spans: list[Marked]
    probabilities: dict[Marked, float]


def evaluate(
    records: Sequence[Record],
    path: Path,
    given: Mapping[str, str],
    baselines: Sequence[str],
    asking: PipelineRunner,
) -> Result:
    """Requests entities for every record's text. Unmapped labels are ignored."""
    wants(records, path, "text entities")
    names = names_here(records, given, [label.name for label in asking.labels])
    gold = [gold_spans(record, names) for record in records]
    markers = {name: _marker(name, path) for name in baselines}
    answers = asking.ask([r["text"] for r in records], [Question(task=Task.ENTITIES)] * len(records))
    found = [_of_answer(answer, set(names.values())) for answer in answers.answers]
    true = [
        are_offsets_true(record["text"], answer)
        for record, answer in zip(records, answers.answers, strict=True)
        if answer is not None
    ]
    spans = [one.spans for one in found]
    measured = measure(spans, gold)
    measured["offsets_true"] = sum(true) / len(true) if true else 1.0
    measured["calibration"] = _honesty(found, gold)
    measured |= {"labels_map": names, **answers.figures()}
    for name, marker in markers.items():
        theirs = [_mapped(marker(record["text"]), names) for record in records]
        measured.setdefault("baselines", {})[name] = measure(theirs, gold)
    cases = [_case(*one) for one in zip(records, spans, gold, strict=True)]
    return Result(measured, cases)


def gold_spans(record: Record, names: Mapping[str, str]) -> list[Marked]:
    """Gold mentions with mapped labels, under our names."""
    return [
        Marked(one["start"], one["end"], names[one["label"]])
        for one in record["entities"]
        if one["label"] in names
    ]


def measure(found: Sequence[Sequence[Marked]], gold: Sequence[Sequence[Marked]]) -> dict[str, Any]:
    """Micro metrics over all labels, and by label."""
    pairs = list(zip(found, gold, strict=True))
    labels = sorted({one.label for some in gold for one in some})
    return {
        "strict": figures([strict(*pair) for pair in pairs]),
        "overlap": figures([overlap(*pair) for pair in pairs]),
        "by_label": {
            label: _of_one(label, pairs) | {"mentions": sum(len(of_label(g, label)) for _, g in pairs)}
            for label in labels
        },
    }


def _of_one(label: str, pairs: Sequence[tuple[Sequence[Marked], Sequence[Marked]]]) -> dict[str, Any]:
    own = [(of_label(found, label), of_label(gold, label)) for found, gold in pairs]
    return {
        "strict": figures([strict(*pair) for pair in own]),
        "overlap": figures([overlap(*pair) for pair in own]),
    }


def _of_answer(answer: Answer | None, labels: set[str]) -> _Found:
    """The spans of an answer; attributes count as entities, as the data annotates them."""
    spans, probabilities = [], {}
    if isinstance(answer, EntitiesAnswer):
        for entity in answer.entities:
            one = Marked(entity.start, entity.end, entity.label)
            inner = [Marked(a.start, a.end, a.kind) for a in entity.attributes]
            spans += [span for span in (one, *inner) if span.label in labels]
            if entity.probability is not None and one.label in labels:
                probabilities[one] = entity.probability
    return _Found(list(dict.fromkeys(spans)), probabilities)


def _honesty(found: Sequence[_Found], gold: Sequence[Sequence[Marked]]) -> dict[str, object]:
    pairs = [
        (probability, span in right)
        for one, some in zip(found, gold, strict=True)
        for right in (set(some),)
        for span, probability in one.probabilities.items()
    ]
    return calibration_error.figures([one for one, _ in pairs], [hit for _, hit in pairs])


def _marker(name: str, path: Path) -> EntityBaseline:
    return Dictionary.beside(path) if name == "dictionary" else SciSpacy()


def _mapped(spans: Sequence[Marked], names: Mapping[str, str]) -> list[Marked]:
    return [one._replace(label=names[one.label]) for one in spans if one.label in names]


def _case(record: Record, found: Sequence[Marked], gold: Sequence[Marked]) -> Case:
    missed, wrong = set(gold) - set(found), set(found) - set(gold)
    near = [one for one in wrong if touches(one, missed)]
    remarks = [f"right label, other borders: {record['text'][a.start : a.end]}" for a in sorted(near)]
    return Case(
        title=str(record.get("id", "")),
        gold=Side(record["text"], tuple(CaseMark(*one, is_right=one not in missed) for one in gold)),
        found=Side(record["text"], tuple(CaseMark(*one, is_right=one not in wrong) for one in found)),
        errors=len(missed) + len(wrong),
        remarks=tuple(remarks),
    )
