"""`notemill purge`: erases notes with everything made of them, and writes a receipt.

After an interruption the same command continues: each batch is complete, overwriting is repeated, and the
receipt includes what the interrupted command had removed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from console.manage.purge_journal import PurgeJournal
from console.manage.queue_withdrawal import withdraw
from console.processes.embedded_redis import embedded_url, make_home_folder
from console.terminal.exit_status import PROBLEM
from console.terminal.opened_database import database
from console.terminal.terminal import count_of, stderr, stdout
from exports.atomic_files import whole_file
from models.errors import UsageError
from models.security import audit_trail
from models.security.secure_overwrite import OverwriteResult, overwrite
from models.security.training_provenance import folders_trained_on
from models.settings import Settings, load_settings
from models.store.erasure import PATIENT_COLUMNS, Erased, Erasure

_BATCH_DOCUMENTS = 500


def purge(
    given: Mapping[str, str | int | None],
    *,
    is_expired: bool,
    patient_columns: Iterable[str],
    is_rewriting: bool,
    receipt: Path | None,
    is_sure: bool,
) -> int:
    """Erases the selected notes and writes the receipt. Returns exit status 1 if bytes of removed rows may
    remain in the file. Raises UsageError."""
    settings = load_settings()
    make_home_folder(settings)
    erasure = _erasure(given, settings, is_expired=is_expired, patient_columns=tuple(patient_columns))
    _confirm(erasure, is_sure=is_sure)
    unfinished = PurgeJournal(settings.home_folder / "receipts", erasure)
    with database(settings) as opened:
        unfinished.resume(opened.queries)
        while opened.store.erase(erasure, limit=_BATCH_DOCUMENTS, before_commit=unfinished.note).rows:
            pass
        erased = unfinished.removed()
        overwritten = overwrite(opened.engine, is_rewriting=is_rewriting)
        exports = list(audit_trail.entries(opened.engine, last=100, action=audit_trail.Action.RESULTS))
    messages = withdraw(_redis_url(settings), frozenset(erased.document_ids))
    rejects = settings.home_folder / "rejects"
    refused = remove_rejected_records(rejects, erased.external_ids, erased.runs, erasure.before)
    facts = _receipt(erasure, erased, overwritten, messages, refused)
    facts |= _trained_folders(settings, erased)
    facts["exports_that_may_hold_them"] = [f"{e.at} by {e.actor}: {e.subject}" for e in exports]
    path = receipt or _receipt_path(settings)
    with whole_file(path) as file:
        file.write(json.dumps(facts, indent=1, ensure_ascii=False).encode() + b"\n")
    unfinished.forget()
    _print_result(facts, path)
    return 0 if overwritten.is_complete or settings.effective_database_url.startswith("postgres") else PROBLEM


def _erasure(
    given: Mapping[str, Any], settings: Settings, *, is_expired: bool, patient_columns: tuple[str, ...]
) -> Erasure:
    options = {name: value for name, value in given.items() if value is not None}
    if len(options) + is_expired != 1:
        raise UsageError("give one of --document, --patient, --before, --run or --expired.")
    if is_expired:
        if not settings.retention_days:
            raise UsageError("--expired needs NOTEMILL_RETENTION_DAYS, which is not set.")
        return Erasure(before=datetime.now(UTC) - timedelta(days=settings.retention_days))
    if "before" in options:
        options["before"] = _moment(options["before"])
    if any(not str(value).strip() for value in options.values()):
        raise UsageError("what shall be purged is empty.")
    return Erasure(**options, patient_columns=patient_columns or PATIENT_COLUMNS)


def _moment(words: str) -> datetime:
    """The first moment of a date in local time."""
    try:
        return datetime.fromisoformat(words).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"--before {words!r} is no date; type one as 2026-01-31.") from None


def _confirm(erasure: Erasure, *, is_sure: bool) -> None:
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to ask: add --yes to erase for good.")
    stderr().print(f"Erase for good by {erasure.kind} {getattr(erasure, erasure.kind)}? Type yes: ", end="")
    if sys.stdin.readline().strip().lower() != "yes":
        raise UsageError("nothing was erased.")


def _redis_url(settings: Settings) -> str:
    return settings.redis_url.get_secret_value() or embedded_url(settings)


def _receipt_path(settings: Settings) -> Path:
    folder = settings.home_folder / "receipts"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"purge-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}.json"


def _receipt(
    erasure: Erasure, erased: Erased, overwritten: OverwriteResult, messages: int | None, refused: int
) -> dict[str, Any]:
    value = getattr(erasure, erasure.kind)
    return {
        "erased_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": erasure.kind,
        "value": value.isoformat() if isinstance(value, datetime) else value,
        "rows": erased.rows,
        "documents": list(erased.document_ids),
        "external_ids": sorted(erased.external_ids),
        "text_sha256": sorted(erased.text_sha256s),
        "texts_kept_for_other_documents": erased.texts_kept,
        "messages_withdrawn": messages,
        "lines_of_refused_records_removed": refused,
        "database_files": overwritten.words,
        "is_overwritten": overwritten.is_complete,
        "out_of_reach": "backups, replicas, exported files, blocks that the disk has given up",
    }


def _trained_folders(settings: Settings, erased: Erased) -> dict[str, list[str]]:
    folders = folders_trained_on(settings, erased.text_sha256s, erased.external_ids)
    prepared = [folder for folder in folders if (folder / "prepared.json").exists()]
    return {
        "adapters_trained_on_them": [str(folder) for folder in folders if folder not in prepared],
        "prepared_folders_that_hold_them": [str(folder) for folder in prepared],
    }


def _print_result(facts: dict[str, Any], path: Path) -> None:
    console = stdout()
    rows = ", ".join(f"{count:,} {table}" for table, count in facts["rows"].items() if count)
    console.print(f"Erased: {rows or 'nothing was found'}.", soft_wrap=True)
    if facts["texts_kept_for_other_documents"]:
        kept = count_of(facts["texts_kept_for_other_documents"], "text")
        console.print(f"{kept} kept: other documents have the very same.", soft_wrap=True)
    console.print(f"The database: {facts['database_files']}.", soft_wrap=True)
    for adapter in facts["adapters_trained_on_them"]:
        console.print(f"Trained on some of it: {adapter}; train it anew without.", soft_wrap=True)
    for folder in facts["prepared_folders_that_hold_them"]:
        console.print(f"Prepared to train on, with its text in it: {folder}; remove it.", soft_wrap=True)
    console.print(f"Receipt: {path}", soft_wrap=True)


def remove_rejected_records(
    folder: Path, external_ids: Collection[str], runs: Collection[int], before: datetime | None
) -> int:
    """Removes lines of these ids, the lists of these runs and those last written before the moment; returns
    the number of lines. Lists written elsewhere with --rejects are not known here."""
    removed = 0
    for path in sorted(folder.glob("run-*.rejects.jsonl*")):
        lines = path.read_text("utf-8", "replace").splitlines(keepends=True)
        is_of_run = path.name.split("-")[1].partition(".")[0] in {str(run) for run in runs}
        is_old = before is not None and path.stat().st_mtime < before.timestamp()
        kept = [] if is_of_run or is_old else [line for line in lines if _id_of(line) not in external_ids]
        removed += len(lines) - len(kept)
        if not kept:
            path.unlink()
        elif len(kept) < len(lines):
            with whole_file(path) as file:
                file.write("".join(kept).encode("utf-8"))
    return removed


def _id_of(line: str) -> str | None:
    try:
        return str(json.loads(line)["external_id"])
    except (ValueError, LookupError, TypeError):
        return None
