"""The verbs that keep an installation in order: config, health, doctor, purge."""

from __future__ import annotations

import typer

from console.terminal import options
from notemill.verbs.groups import keep_verb


@keep_verb(epilog="Example: `notemill config`")
def config(as_json: options.Json = False) -> int:
    """Print the settings and where each came from; secrets masked."""
    from console.manage.config import show_config

    return show_config(as_json=as_json)


@keep_verb(epilog="Example: `notemill health --ready`")
def health(ready: options.Ready = False, as_json: options.Json = False) -> int:
    """Say by the exit status whether a worker of this machine lives: 0 or 1.

    With --ready: whether it has its weights, its database and its Redis, and takes notes.
    """
    from console.manage.health import show_health

    return show_health(is_ready_asked=ready, as_json=as_json)


@keep_verb(epilog="Example: `notemill doctor --plan mistral-7b --gib 8`")
def doctor(plan: options.Plan = None, gib: options.Gib = None, as_json: options.Json = False) -> int:
    """Say what is wrong, and what to type.

    Checks Python, disk, home folder, database, Redis, weights, GPU, memory and workers; exit status 1
    where something would stop `run`. With --plan: whether weights would fit a card, theirs or not.
    """
    if plan is not None:
        from console.manage.memory_check import show_plan

        return show_plan(plan, gib, as_json=as_json)
    if gib is not None:
        raise typer.BadParameter("--gib goes with --plan WEIGHTS, e.g. --plan mistral-7b --gib 8")
    from console.manage.doctor import examine

    return examine(as_json=as_json)


@keep_verb(epilog="Example: `notemill purge --patient 10000032`")
def purge(
    document: options.PurgeDocument = None,
    patient: options.PurgePatient = None,
    before: options.PurgeBefore = None,
    run: options.PurgeRun = None,
    expired: options.Expired = False,
    patient_column: options.PatientColumn = None,
    rewrite: options.Rewrite = False,
    receipt: options.Receipt = None,
    yes: options.Yes = False,
) -> int:
    """Erase notes with everything that was made of them, and write a receipt.

    Removes texts, answers, jobs, messages that wait and lines of refused records, and overwrites the
    SQLite file. Give one of --document, --patient, --before, --run or --expired.
    """
    from console.manage.purge import purge

    given = {"document": document, "patient": patient, "before": before, "run": run}
    return purge(
        given,
        is_expired=expired,
        patient_columns=patient_column or [],
        is_rewriting=rewrite,
        receipt=receipt,
        is_sure=yes,
    )
