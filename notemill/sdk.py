"""Client for ETL code: submit notes and read answers, through the `notemill` command in a subprocess.

Uses the standard library only. The application's packages (`models`, `worker`, …) are never imported into the
calling process, so a caller may have a `models` package of its own. Errors hold no text of notes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

_COMMAND = (sys.executable, "-P", "-m", "notemill")
"""-P: the working directory of the caller is not searched for modules."""


class NotemillCommandError(Exception):
    """The `notemill` command failed; the message is what it printed for the operator."""

    def __init__(self, exit_status: int, message: str) -> None:
        super().__init__(message or f"notemill ended with exit status {exit_status}")
        self.exit_status = exit_status
        """2: the arguments are wrong; 1: something is out of order (see `notemill doctor`)."""


@dataclass(frozen=True, slots=True)
class Run:
    """One submission: its id and the counts of registered notes and jobs."""

    id: int
    documents: int
    refused: int
    """Records that are no notes; the reasons are in the file `rejects_path`."""
    new_jobs: int
    known_jobs: int
    """Jobs that were there from an earlier run; answers among them cost nothing."""
    rejects_path: str | None
    client: Notemill = field(repr=False, compare=False)

    def progress(self) -> dict[str, Any]:
        """The counts of `notemill status --json`: total, finished, failed, pending, running, is_done, …"""
        return self.client.progress(self.id)

    def wait(self, *, timeout_seconds: float | None = None, poll_seconds: float = 2.0) -> dict[str, Any]:
        """Blocks until every job has ended and returns the last progress; failed jobs are counted there.

        Raises TimeoutError after `timeout_seconds`; the run itself goes on. It needs a running worker
        (`notemill worker`)."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while not (progress := self.progress())["is_done"]:
            if deadline is not None and time.monotonic() + poll_seconds > deadline:
                raise TimeoutError(f"run {self.id} is not done after {timeout_seconds:g} seconds")
            time.sleep(poll_seconds)
        return progress


class Notemill:
    """The installed application, seen from another program."""

    def __init__(
        self, *, command: Sequence[str] = _COMMAND, environment: Mapping[str, str] | None = None
    ) -> None:
        """`command` starts notemill; where the application has an environment of its own, its path:
        `("/opt/notemill/bin/notemill",)`. `environment` replaces the process's, for other `NOTEMILL_…`
        settings than those of the caller."""
        self._command = tuple(command)
        self._environment = None if environment is None else dict(environment)

    def submit(
        self,
        records: Iterable[Mapping[str, Any]],
        *,
        tasks: Sequence[str] = (),
        searches: Sequence[str] = (),
        labels: str | None = None,
        summary_words: int | None = None,
        is_urgent: bool = False,
    ) -> Run:
        """Registers notes and enqueues them; returns before they are answered.

        `records`: mappings with `id` and `text`; further keys become metadata. They are streamed, so a
        generator over an archive of any size works. `tasks`: entities, summary; `searches`: queries;
        `labels`: path of a labels file. Answers that exist already cost nothing.
        Raises NotemillCommandError."""
        arguments = ["submit", "-", "--json"]
        for task in tasks:
            arguments += ["--task", task]
        for query in searches:
            arguments += ["--search", query]
        if labels is not None:
            arguments += ["--labels", labels]
        if summary_words is not None:
            arguments += ["--summary-words", str(summary_words)]
        if is_urgent:
            arguments.append("--urgent")
        lines = (json.dumps(dict(record), default=str) + "\n" for record in records)
        submitted = json.loads("".join(self._lines(arguments, lines)))
        return Run(
            id=submitted["run_id"],
            documents=submitted["documents"],
            refused=submitted["refused"],
            new_jobs=submitted["new_jobs"],
            known_jobs=submitted["known_jobs"],
            rejects_path=submitted["rejects_path"],
            client=self,
        )

    def progress(self, run: int) -> dict[str, Any]:
        """The progress of a run, as `notemill status RUN --json` prints it."""
        progress: dict[str, Any] = json.loads("".join(self._lines(["status", str(run), "--json"])))
        return progress

    def results(self, *, run: int | None = None, task: str | None = None) -> Iterator[dict[str, Any]]:
        """One dictionary a job, streamed, as `notemill results --format jsonl` prints it."""
        arguments = ["results", "--format", "jsonl"]
        if run is not None:
            arguments += ["--run", str(run)]
        if task is not None:
            arguments += ["--task", task]
        yield from (json.loads(line) for line in self._lines(arguments))

    def query(self, statement: str, *, limit: int = 100_000) -> list[dict[str, Any]]:
        """The rows of one SELECT on the views, at most `limit`, a dictionary each; dates are ISO strings."""
        arguments = ["sql", "--json", "--limit", str(limit), statement]
        return [json.loads(line) for line in self._lines(arguments)]

    def _lines(self, arguments: Sequence[str], lines: Iterable[str] = ()) -> Iterator[str]:
        """Standard output line by line; raises NotemillCommandError where the exit status is not 0."""
        process = subprocess.Popen(  # noqa: S603  the command that the caller configured
            [*self._command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
            encoding="utf-8",
        )
        assert process.stdin is not None
        assert process.stdout is not None
        errors: list[str] = []
        # Threads, so that neither side waits for a pipe that nobody empties.
        reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
        feeder = _Feeder(process, process.stdin, lines)
        reader.start()
        feeder.start()
        try:
            yield from process.stdout
        finally:
            process.stdout.close()
            feeder.join()
            exit_status = process.wait()
            reader.join()
        if feeder.error is not None:
            raise feeder.error
        if exit_status != 0:
            raise NotemillCommandError(exit_status, _message(errors))


class _Feeder(threading.Thread):
    """Writes lines to a process; ends the process where whoever produces them fails."""

    def __init__(self, process: subprocess.Popen[str], pipe: IO[str], lines: Iterable[str]) -> None:
        super().__init__(daemon=True)
        self._process, self._pipe, self._lines = process, pipe, lines
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            for line in self._lines:
                self._pipe.write(line)
        except BrokenPipeError:
            pass  # the command has ended, and says why
        except Exception as error:  # noqa: BLE001  raised again in the caller's thread
            # Ended before its input is: half of the records must not look like all of them.
            self._process.terminate()
            self._process.wait()
            self.error = error
        finally:
            with suppress(BrokenPipeError):
                self._pipe.close()


def _message(errors: Sequence[str]) -> str:
    """The message of the command to the operator, without progress lines."""
    messages = [line.removeprefix("notemill: ").strip() for line in errors if line.startswith("notemill: ")]
    return messages[-1] if messages else "".join(errors[-1:]).strip()
