"""Compares every job with its expected answer after the faults.

The expected answers are computed in this process, without Redis, a worker or the database.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from models.answers import SearchAnswer, Task
from models.jobs import Job, Question, Work
from models.outcomes import Finished, Reason
from models.queries.queries import Queries
from models.schema.database import read_transaction
from resilience.chaos import fault_triggers
from resilience.chaos.chaos_notes import SEARCHES, is_poison, text_of
from resilience.chaos.process_slots import NoteRange
from resilience.chaos.test_bed import ChaosTestBed
from worker.engine.api import Engine
from worker.pipeline import process
from worker.weights.task_config import TaskConfig, task_config

_SCORE_TOLERANCE = 5e-3
"""Tolerance for the real network: its bf16 products differ in the last bits with the rest of the batch."""
_DOUBLED = {
    "jobs that exist twice": "SELECT COUNT(*) FROM (SELECT text_sha256, parameters_sha256 FROM jobs"
    " GROUP BY text_sha256, parameters_sha256 HAVING COUNT(*) > 1) AS doubled",
    "jobs finished twice": "SELECT COUNT(*) FROM (SELECT job_id FROM attempts WHERE ended_as = 'finished'"
    " GROUP BY job_id HAVING COUNT(*) > 1) AS doubled",
    "finished jobs without one finished attempt": "SELECT COUNT(*) FROM jobs WHERE status = 'finished'"
    " AND id NOT IN (SELECT job_id FROM attempts WHERE ended_as = 'finished')",
    "failed jobs with rows": "SELECT COUNT(*) FROM passages WHERE job_id IN"
    " (SELECT id FROM jobs WHERE status <> 'finished')",
}
"""Counts that must be 0."""
Passages = dict[tuple[int, int], float]


@dataclass
class ChaosVerdict:
    """Counts of all jobs, and one line for each job with a wrong result."""

    jobs: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    quarantined: int = 0
    lines: list[str] = field(default_factory=list)


def check_results(
    bed: ChaosTestBed, note_ranges: Sequence[NoteRange], engines: dict[str, Engine]
) -> ChaosVerdict:
    """Compares all jobs. `engines`: those of this process, by group."""
    verdict = ChaosVerdict()
    results = _stored_results(bed)
    for group in bed.groups:
        config = task_config(bed.settings(group))
        numbers = sorted(
            {n for c in note_ranges if c.group == group for n in range(c.first, c.first + c.count)}
        )
        for number in numbers:
            expected = _expected_passages(text_of(group, number), engines[group], config)
            for search in SEARCHES:
                stored = results.pop((f"{group}-{number:05d}", search), [])
                verdict.jobs += 1
                _check_job(verdict, group, number, search, stored, expected[search])
    verdict.wrong += len(results)
    verdict.lines += [f"{key}: it was not requested" for key in results]
    engine = bed.engine
    with read_transaction(engine) as connection:
        for description, statement in _DOUBLED.items():
            count = connection.execute(text(statement)).scalar_one()
            verdict.doubled += count
            verdict.lines += [f"{count} {description}"] if count else []
    engine.dispose()
    return verdict


def _check_job(
    verdict: ChaosVerdict, group: str, number: int, search: str, stored: list[Any], expected: Passages
) -> None:
    name = f"{group}-{number:05d}, {search!r}"
    if len(stored) > 1:
        verdict.doubled += 1
        verdict.lines.append(f"{name}: {len(stored)} answers")
    result = stored[0] if stored else None
    if result is None or result["status"] in ("pending", "running", "cancelled"):
        verdict.lost += 1
        verdict.lines.append(f"{name}: {result['status'] if result else 'no job'}")
    elif is_poison(group, number):
        is_quarantined = (result["status"], result["reason"]) == ("failed", Reason.KILLED_WORKER)
        verdict.quarantined += is_quarantined
        verdict.wrong += not is_quarantined
        verdict.lines += [] if is_quarantined else [f"{name}: {result['status']} {result['reason']}"]
    elif result["status"] == "failed":
        verdict.lost += 1
        verdict.lines.append(f"{name}: failed, {result['reason']} {result['detail']}")
    elif not _is_same(_passages(result), expected, group):
        verdict.wrong += 1
        verdict.lines.append(f"{name}: unexpected answer")


def _is_same(stored: Passages, expected: Passages, group: str) -> bool:
    if group == "instant":
        return stored == expected
    differing = stored.keys() ^ expected.keys()
    scores = [abs(stored[span] - expected[span]) for span in stored.keys() & expected.keys()]
    near_threshold = [abs((stored | expected)[span] - 0.3) for span in differing]
    return max((*scores, *near_threshold), default=0.0) < _SCORE_TOLERANCE


def _expected_passages(note: str, engine: Engine, config: TaskConfig) -> dict[str, Passages]:
    """Expected passages by search."""
    questions = [Question(task=Task.SEARCH, parameters={"query": search}) for search in SEARCHES]
    jobs = tuple(
        Job(id=i, question=question, recipe_id="-", attempt=1) for i, question in enumerate(questions)
    )
    expected = {}
    for ended in process(Work(document_id=1, text=note, jobs=jobs), engine=engine, config=config):
        for job, outcome in ended:
            assert isinstance(outcome, Finished)
            assert isinstance(outcome.answer, SearchAnswer)
            passages = outcome.answer.passages
            scores = {(passage.start, passage.end): passage.score for passage in passages}
            expected[SEARCHES[job.id]] = scores
    return expected


def _passages(result: dict[str, Any]) -> Passages:
    return {(passage["start"], passage["end"]): passage["score"] for passage in result["passages"]}


def _stored_results(bed: ChaosTestBed) -> dict[tuple[str, str], list[Any]]:
    engine = bed.engine
    results: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for result in Queries(engine).results():
        results[result["external_id"], result["parameters"]["query"]].append(result)
    engine.dispose()
    return results


def runs_failed_by_faults(bed: ChaosTestBed) -> set[tuple[int, str]]:
    """Runs with a reason, whose notes failed because a fault hit every worker that had them.

    A note that also had a worker without a fault counts as lost instead.
    """
    hit_by_faults = {
        Reason.KILLED_WORKER.value: bed.frozen | bed.killed,
        Reason.CRASHED.value: fault_triggers.triggered_pids(bed.triggers, *fault_triggers.UNEXPECTED_ERRORS),
    }
    runs: dict[int, tuple[int, str]] = {}
    workers: dict[int, set[int]] = defaultdict(set)
    engine = bed.engine
    with read_transaction(engine) as connection:
        for row in connection.execute(text(_FAILED)):
            group, _, number = row.external_id.partition("-")
            if not is_poison(group, int(number)):
                runs[row.id] = row.run_id, row.reason
                workers[row.id].add(int(row.worker.split(":")[-2]))
    engine.dispose()
    return {run for job_id, run in runs.items() if workers[job_id] <= hit_by_faults[run[1]]}


_FAILED = (
    "SELECT jobs.id, jobs.reason, documents.external_id, attempts.worker, MAX(run_jobs.run_id) AS run_id"
    " FROM jobs JOIN attempts ON attempts.job_id = jobs.id"
    " JOIN run_jobs ON run_jobs.job_id = jobs.id JOIN documents ON documents.id = run_jobs.document_id"
    " WHERE jobs.status = 'failed'"
    " AND (jobs.reason = 'killed_worker' AND attempts.ended_as = 'lease_expired'"
    " OR jobs.reason = 'crashed' AND attempts.ended_as IN ('released', 'failed'))"
    " GROUP BY jobs.id, jobs.reason, documents.external_id, attempts.worker"
)


def open_jobs(bed: ChaosTestBed) -> Counter[str]:
    """Numbers of jobs by status. Raises NotemillError when the database does not answer."""
    engine = bed.engine
    try:
        return Counter(Queries(engine).counts()["jobs"])
    finally:
        engine.dispose()
