"""The verbs that put notes to work: run, submit, nightly, worker, retry, cancel, sweep."""

from __future__ import annotations

from console.terminal import options
from notemill.verbs.groups import work_verb


@work_verb(epilog="Example: `notemill run notes/ --task entities --search 'signs of infection'`")
def run(
    sources: options.Sources = None,
    task: options.Tasks = None,
    search: options.Searches = None,
    labels: options.Labels = None,
    summary_words: options.SummaryWords = None,
    sql: options.Sql = None,
    query: options.Query = None,
    preset: options.Preset = None,
    id_column: options.IdColumn = None,
    text_column: options.TextColumn = None,
    rejects: options.Rejects = None,
    limit: options.Limit = None,
    explain: options.Explain = False,
    urgent: options.Urgent = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Register notes, answer what is asked, show what came out.

    Starts a Redis server and a worker where none is configured, and stops what it started. What was
    answered before costs nothing; stopped by Ctrl-C, the same command goes on where it stopped.
    """
    from console.run.run_command import run
    from console.run.submission_request import SubmissionRequest

    request = SubmissionRequest.of(
        *(sources, task, search, labels, summary_words, sql, query, rejects, limit),
        id_column=id_column,
        text_column=text_column,
        preset=preset,
        is_urgent=urgent,
    )
    return run(request, is_explaining=explain, is_quiet=quiet, as_json=as_json)


@work_verb(epilog="Example: `notemill submit archive.parquet --task summary`")
def submit(
    sources: options.Sources = None,
    task: options.Tasks = None,
    search: options.Searches = None,
    labels: options.Labels = None,
    summary_words: options.SummaryWords = None,
    sql: options.Sql = None,
    query: options.Query = None,
    preset: options.Preset = None,
    id_column: options.IdColumn = None,
    text_column: options.TextColumn = None,
    rejects: options.Rejects = None,
    limit: options.Limit = None,
    urgent: options.Urgent = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Register notes for the workers and print the run's id.

    Returns as soon as all is registered; `notemill status` tells how far the workers are.
    """
    from console.run.submission_request import SubmissionRequest
    from console.run.submit_command import submit

    request = SubmissionRequest.of(
        *(sources, task, search, labels, summary_words, sql, query, rejects, limit),
        id_column=id_column,
        text_column=text_column,
        preset=preset,
        is_urgent=urgent,
    )
    return submit(request, is_quiet=quiet, as_json=as_json)


@work_verb(epilog="Example: `notemill nightly plan.toml --until 06:00`")
def nightly(
    plan: options.NightPlan = None,
    until: options.Until = None,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Answer the notes that are new since the last nightly run, until a given time, and report.

    For cron, systemd, Celery beat or Airflow. Exit status 0: all is done, 75: the time was over and the rest
    is left for the next run, 1: jobs failed or something is out of order, 2: the plan is wrong.
    """
    from console.nightly.nightly_run import nightly

    return nightly(plan, until=until, is_dry_run=dry_run, is_quiet=quiet, as_json=as_json)


@work_verb(epilog="Example: `notemill worker`")
def worker() -> int:
    """Serve until stopped: load the weights, take notes, answer.

    Ctrl-C once finishes what is in hand, twice gives it back. Without NOTEMILL_REDIS_URL it brings its
    own Redis server, which lives as long as it does.
    """
    from console.run.worker_verb import serve

    return serve()


@work_verb(epilog="Example: `notemill retry --run 3 --reason timed_out`")
def retry(run: options.Run = None, reason: options.Reason = None) -> int:
    """Give failed jobs another chance; a worker takes them up."""
    from console.run.job_control import retry

    return retry(run, reason)


@work_verb(epilog="Example: `notemill cancel 3`")
def cancel(run: options.RunToCancel) -> int:
    """Cancel what waits in a run.

    Jobs that another run wants go on, and answers stay.
    """
    from console.run.job_control import cancel

    return cancel(run)


@work_verb(epilog="Example: `notemill sweep`")
def sweep() -> int:
    """Enqueue again what is owed.

    Workers do this by themselves every few seconds; nothing is done twice.
    """
    from console.run.job_control import sweep

    return sweep()
