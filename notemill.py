"""The command line of notemill: a verb a function, each hands over to the module that does it.

Imports are inside the verbs, so that `notemill --help` needs neither torch nor Celery nor SQLAlchemy.
"""

from __future__ import annotations

import sys
from functools import partial

import typer

from console.terminal import options
from console.terminal.exit_status import MEANINGS, run_to_exit
from console.train import train_options

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Entities, search and summaries over clinical notes, each answer tied to the characters it came"
    " from.\n\nStart with: `notemill run examples/notes`\n\nExit status: "
    + "; ".join(f"{status} {meaning}" for status, meaning in MEANINGS.items())
    + ".",
)
_work = partial(app.command, rich_help_panel="Work")
_look = partial(app.command, rich_help_panel="Look")
_keep = partial(app.command, rich_help_panel="Keep in order")
_database = typer.Typer(no_args_is_help=True, help="The tables of the database: upgrade, check.")
_audit = typer.Typer(no_args_is_help=True, help="The audit trail: show, verify.")
_weights = typer.Typer(no_args_is_help=True, help="The network's weights: prepare.")
app.add_typer(_database, name="db", rich_help_panel="Keep in order")
app.add_typer(_audit, name="audit", rich_help_panel="Keep in order")
app.add_typer(_weights, name="weights", rich_help_panel="Keep in order")
_train = typer.Typer(
    no_args_is_help=True,
    help="Fine-tuning, and how good answers are: prepare, finetune, evaluate, merge.",
)
_annotate = typer.Typer(no_args_is_help=True, help="Notes that people have annotated: import.")
app.add_typer(_train, name="train", rich_help_panel="Train")
app.add_typer(_annotate, name="annotate", rich_help_panel="Train")


@_work(epilog="Example: `notemill run notes/ --task entities --search 'signs of infection'`")
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
    from console.run.submission_request import Asked

    asked = Asked.of(
        *(sources, task, search, labels, summary_words, sql, query, rejects, limit),
        id_column=id_column,
        text_column=text_column,
        preset=preset,
        is_urgent=urgent,
    )
    return run(asked, is_explaining=explain, is_quiet=quiet, as_json=as_json)


@_work(epilog="Example: `notemill submit archive.parquet --task summary`")
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
    from console.run.submission_request import Asked
    from console.run.submit_command import submit

    asked = Asked.of(
        *(sources, task, search, labels, summary_words, sql, query, rejects, limit),
        id_column=id_column,
        text_column=text_column,
        preset=preset,
        is_urgent=urgent,
    )
    return submit(asked, is_quiet=quiet, as_json=as_json)


@_work(epilog="Example: `notemill nightly plan.toml --until 06:00`")
def nightly(
    plan: options.NightPlan = None,
    until: options.Until = None,
    dry_run: options.DryRun = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Answer what is new since last night, until a given time, and report.

    For cron, systemd, Celery beat or Airflow. Exit status 0: all is done, 75: the time was over and the rest
    is left for the next night, 1: jobs failed or something is out of order, 2: the plan is wrong.
    """
    from console.nightly.nightly_run import nightly

    return nightly(plan, until=until, is_dry_run=dry_run, is_quiet=quiet, as_json=as_json)


@_work(epilog="Example: `notemill worker`")
def worker() -> int:
    """Serve until stopped: load the weights, take notes, answer.

    Ctrl-C once finishes what is in hand, twice gives it back. Without NOTEMILL_REDIS_URL it brings its
    own Redis server, which lives as long as it does.
    """
    from console.run.worker_verb import serve

    return serve()


@_work(epilog="Example: `notemill retry --run 3 --reason timed_out`")
def retry(run: options.Run = None, reason: options.Reason = None) -> int:
    """Give failed jobs another chance; a worker takes them up."""
    from console.run.job_control import retry

    return retry(run, reason)


@_work(epilog="Example: `notemill cancel 3`")
def cancel(run: options.RunToCancel) -> int:
    """Cancel what waits in a run.

    Jobs that another run wants go on, and answers stay.
    """
    from console.run.job_control import cancel

    return cancel(run)


@_work(epilog="Example: `notemill sweep`")
def sweep() -> int:
    """Enqueue again what is owed.

    Workers do this by themselves every few seconds; nothing is done twice.
    """
    from console.run.job_control import sweep

    return sweep()


@_look(epilog="Example: `notemill status 3 --watch`")
def status(
    run: options.RunToShow = None,
    watch: options.Watch = False,
    explain: options.Explain = False,
    as_json: options.Json = False,
) -> int:
    """Show runs: progress, pace, why jobs failed, and with --explain where the time went."""
    from console.inspect.status import show_status

    return show_status(run, is_watching=watch, is_explaining=explain, as_json=as_json)


@_look(epilog="Example: `notemill results --run 3 --format jsonl --output results.jsonl`")
def results(
    run: options.Run = None,
    task: options.Task = None,
    status: options.Status = None,
    form: options.Form = None,
    output: options.Output = None,
) -> int:
    """Write answers as a table, JSON lines, CSV or Parquet.

    A line a job in jsonl and parquet; in csv a line an entity, passage or sentence, and a cell that a
    spreadsheet would take for a formula begins with an apostrophe.
    """
    from console.inspect.results_command import write_results

    return write_results(run=run, task=task, status=status, form=form, output=output)


@_look(epilog="Example: `notemill export --to fhir --output notes.ndjson`")
def export(
    to: options.ExportForm,
    output: options.ExportOutput,
    run: options.Run = None,
    vocabulary: options.Vocabulary = None,
    quiet: options.Quiet = False,
) -> int:
    """Write notes with their answers for other tools: OMOP, FHIR, Parquet, brat, Label Studio, spaCy.

    Of every note the newest answers, or those of one run, and only what is finished; `results` shows
    jobs as they stand, failed ones too, and knows how to print them.
    """
    from console.inspect.export_command import export

    return export(form=to, output=output, run=run, vocabulary=vocabulary, is_quiet=quiet)


@_look(epilog="Example: `notemill show discharge_01`")
def show(
    document: options.StoredNote,
    run: options.Run = None,
    plain: options.Plain = False,
    html: options.HtmlFile = None,
) -> int:
    """Show a note, its entities marked, its summary and passages; with --html as a page in one file."""
    from console.inspect.show import show_document

    return show_document(document, run_id=run, is_plain=plain, html=html)


@_look(epilog="Example: `notemill view`")
def view(
    host: options.Host = "127.0.0.1",
    port: options.Port = 8642,
    certificate: options.Certificate = None,
    key: options.Key = None,
    behind_proxy: options.BehindProxy = False,
    name: options.Name = None,
) -> int:
    """Browse notes, answers and runs in a browser, and correct mentions.

    Prints an address whose token lets a browser in. Nothing but corrections is written.
    """
    from console.inspect.view import view

    return view(host=host, port=port, certificate=certificate, key=key, is_plain=behind_proxy, name=name)


@_look(epilog="Example: `notemill corrections --output corrected.jsonl`")
def corrections(output: options.Output = None) -> int:
    """Write the notes that were corrected in `view`, to train on.

    A line a note: its text, the mentions that stand, those rejected, and whether all were looked at.
    """
    from console.inspect.corrections_command import write_corrections

    return write_corrections(output)


@_look(epilog="Example: `notemill find 'chest pain -fever'`")
def find(words: options.Words, limit: options.Rows = 20, as_json: options.Json = False) -> int:
    """Find stored summaries and passages by their words.

    All words have to be there, in any form of theirs; "in quotes" side by side, with -before not at all.
    Nothing is computed: `run --search` asks the network which sentences answer a question.
    """
    from console.inspect.find import find

    return find(words, limit=limit, as_json=as_json)


@_look(epilog="Example: `notemill compare 3f2a now --notes 50`")
def compare(
    before: options.RecipeBefore,
    after: options.RecipeAfter,
    notes: options.SampleNotes = 20,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> int:
    """Say what another recipe would change, on a sample of notes, and the hours for the archive.

    A recipe is the beginning of its id, whose answers are stored; `now`, the settings as they are; or a
    TOML file of settings that differ. The last two answer the sample apart: the archive stays as it is.
    """
    from console.inspect.compare import compare

    return compare(before, after, notes=notes, is_quiet=quiet, as_json=as_json)


@_look(epilog='Example: `notemill sql "SELECT label, COUNT(*) FROM v_entities GROUP BY label"`')
def sql(statement: options.Statement, limit: options.Rows = 200) -> int:
    """Query the views; nothing can be changed from here."""
    from console.inspect.sql_command import show_rows

    return show_rows(statement, limit=limit)


@_look(epilog="Example: `notemill prompts examples/notes/radiology.txt --task summary`")
def prompts(
    document: options.Note,
    task: options.Tasks = None,
    search: options.Searches = None,
    labels: options.Labels = None,
    summary_words: options.SummaryWords = None,
) -> int:
    """Print what would be sent for a note, tokens counted."""
    from console.inspect.prompts import show_prompts

    return show_prompts(document, task or [], search or [], labels, summary_words)


@_look(epilog="Example: `notemill labels > my-labels.toml`")
def labels(file: options.LabelsFile = None) -> int:
    """Print the entity labels in the form of a labels file."""
    from console.inspect.labels_command import show_labels

    return show_labels(file)


@_keep(epilog="Example: `notemill config`")
def config(as_json: options.Json = False) -> int:
    """Print the settings and where each came from; secrets masked."""
    from console.manage.config import show_config

    return show_config(as_json=as_json)


@_keep(epilog="Example: `notemill health --ready`")
def health(ready: options.Ready = False, as_json: options.Json = False) -> int:
    """Say by the exit status whether a worker of this machine lives: 0 or 1.

    With --ready: whether it has its weights, its database and its Redis, and takes notes.
    """
    from console.manage.health import show_health

    return show_health(is_ready_asked=ready, as_json=as_json)


@_keep(epilog="Example: `notemill doctor --plan mistral-7b --gib 8`")
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


@_keep(epilog="Example: `notemill purge --patient 10000032`")
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


@_audit.command("show", epilog="Example: `notemill audit show --last 20`")
def audit_show(
    last: options.LastRows = 50, action: options.AuditAction = None, as_json: options.Json = False
) -> int:
    """Show who did what, when; ids only."""
    from console.manage.audit_command import show_entries

    return show_entries(last=last, action=action, as_json=as_json)


@_audit.command("verify", epilog="Example: `notemill audit verify`")
def audit_verify(head: options.Head = None) -> int:
    """Say whether nothing in the trail was changed or removed; exit status 1 if not."""
    from console.manage.audit_command import verify

    return verify(head)


@_database.command("upgrade", epilog="Example: `notemill db upgrade`")
def database_upgrade() -> int:
    """Bring tables and views to this notemill's form."""
    from console.terminal.opened_database import upgrade

    return upgrade()


@_database.command("check", epilog="Example: `notemill db check`")
def database_check() -> int:
    """Say whether the tables are those of this notemill; exit status 1 if not."""
    from console.terminal.opened_database import check

    return check()


@_database.command("roles", epilog="Example: `notemill db roles`")
def database_roles() -> int:
    """Make roles for producers, workers and analysts in PostgreSQL.

    Each may do what it needs and nothing more; give them to users with CREATE USER … IN ROLE.
    """
    from console.terminal.opened_database import make_roles

    return make_roles()


@_database.command("rekey", epilog="Example: `notemill db rekey`")
def database_rekey() -> int:
    """Encrypt all text under a new key, or what was plain before.

    The master key is the first in NOTEMILL_ENCRYPTION_KEY_FILE; keep the old one behind it until this is
    through. Stopped half way, the same command goes on; workers need not stop.
    """
    from console.manage.rekey import rekey

    return rekey()


@_weights.command("prepare", epilog="Example: `notemill weights prepare`")
def weights_prepare() -> int:
    """Make the weights ready to load, once; later starts take a second."""
    from console.processes.weights_preparation import prepare

    return prepare()


@_train.command("prepare", epilog="Example: `notemill train prepare Gath_baize.csv --inspect`")
def train_prepare(
    sources: train_options.Sources,
    output: train_options.PreparedOutput = None,
    inspect: train_options.Inspect = False,
    held_out: train_options.HeldOut = None,
    medical_origin: train_options.MedicalOrigin = None,
    text_column: train_options.TextColumn = "",
    origin_column: train_options.OriginColumn = "",
    revision: train_options.Revision = None,
    validation_share: train_options.ValidationShare = 0.02,
    seed: train_options.Seed = 1,
    limit: options.Limit = None,
    as_json: options.Json = False,
) -> int:
    """Make a folder to train on from conversations and annotated notes.

    Filters the medical conversations, drops what is the same, nearly the same or in a held-out file, and
    splits by conversation and note. Every row is counted: kept, dropped with its reason, or broken.
    """
    from console.train.prepare_command import prepare_data
    from training.data.prepare import Asked
    from training.data.row_formats import Columns

    asked = Asked(
        sources=tuple(sources),
        columns=Columns(text_column, origin_column),
        origins=frozenset(medical_origin or ()),
        revision=revision,
        held_out=tuple(held_out or ()),
        validation_share=validation_share,
        seed=seed,
        limit=limit,
    )
    return prepare_data(asked, output, is_inspecting=inspect, as_json=as_json)


@_train.command("finetune", epilog="Example: `notemill train finetune --data prepared --output adapter`")
def train_finetune(
    data: train_options.Data = None,
    output: train_options.AdapterOutput = None,
    weights: train_options.Weights = None,
    recipe: train_options.RecipeName = None,
    start: train_options.Start = None,
    epochs: train_options.Epochs = None,
    steps: train_options.Steps = None,
    stop_after: train_options.StopAfter = None,
    restart: train_options.Restart = False,
    plan: train_options.PlanOnly = False,
    gib: options.Gib = None,
    as_json: options.Json = False,
) -> int:
    """Train an adapter on a prepared folder.

    Killed or stopped, the same command goes on from the last checkpoint with the losses it would have had.
    """
    from console.train.finetune_command import Wanted, finetune_weights

    wanted = Wanted(
        data=data,
        output=output,
        weights=weights,
        recipe=recipe,
        start=start,
        changes={"epochs": epochs, "max_steps": steps},
        stop_after_steps=stop_after,
        is_restarting=restart,
    )
    return finetune_weights(wanted, gib_of_card=gib, is_plan=plan, as_json=as_json)


@_train.command("evaluate", epilog="Example: `notemill train evaluate --task entities --data corpus/bc5cdr`")
def train_evaluate(
    task: options.TaskToEvaluate,
    data: options.EvaluationData,
    names: options.LabelMap = None,
    limit: options.Limit = None,
    half: options.Half = None,
    baseline: options.Baselines = None,
    summary_words: options.SummaryWords = None,
    errors: options.ErrorsPage = None,
    calibration: options.CalibrationPlot = None,
    as_json: options.Json = False,
) -> int:
    """Measure answers on annotated data, through the worker's own pipeline.

    Intervals are 95 %, bootstrapped over records. With --errors a page to look through, gold and found
    side by side; it holds the notes' text and is for your eyes only.
    """
    from console.train.evaluate_command import evaluate

    return evaluate(
        *(task, data, names or [], limit, half, baseline or [], summary_words, errors, calibration),
        as_json=as_json,
    )


@_train.command("merge", epilog="Example: `notemill train merge adapter --output merged`")
def train_merge(
    adapter: train_options.Adapter,
    output: train_options.MergedOutput,
    weights: train_options.Weights = None,
    gguf: train_options.Gguf = None,
) -> int:
    """Merge an adapter into its weights, for serving elsewhere."""
    from console.train.merge_command import merge_adapter

    return merge_adapter(adapter, output, weights, gguf)


@_train.command("join", epilog="Example: `notemill train join adapter --data corpora/ncbi_disease`")
def train_join(
    adapter: train_options.Adapter,
    data: train_options.JoinData,
    weights: train_options.Weights = None,
    limit: train_options.JoinLimit = 120,
    as_json: options.Json = False,
) -> int:
    """Fit how search joins an adapter's decisions with words, meaning, sections and entities, and how far
    its word on what is denied counts beside the rules'.

    An adapter that was never joined decides searches alone. Give what asks for things (annotated concepts)
    and what asks for whole aspects (notes with headings); notes that say what is denied fit that as well.
    """
    from console.train.ranking_command import join_search

    return join_search(adapter, data, weights, limit, as_json)


@_train.command("lexicon", epilog="Example: `notemill train lexicon adapter --data notes.jsonl`")
def train_lexicon(
    adapter: train_options.Adapter,
    data: train_options.LexiconData,
    names: train_options.NamesFiles = None,
    as_json: options.Json = False,
) -> int:
    """Let an adapter know the names in annotated notes, wherever they stand.

    What was marked in most of its places is marked more readily from now on, and a word that hardly ever was
    is not marked alone. Names are kept as hashes.
    """
    from console.train.lexicon_command import add_names

    return add_names(adapter, data, names or [], as_json)


@_annotate.command("import", epilog="Example: `notemill annotate import export.json --output notes.jsonl`")
def annotate_import(
    source: train_options.AnnotatedSource,
    output: train_options.NotesOutput,
    names: train_options.LabelMap = None,
    as_json: options.Json = False,
) -> int:
    """Take annotated or corrected notes in, as `train prepare` reads them.

    From Label Studio (JSON), brat (a folder of .txt and .ann) or notes of our own form (.jsonl).
    """
    from console.train.import_annotations import import_notes

    return import_notes(source, output, names or [], as_json=as_json)


def main() -> None:
    """The entry point: runs a verb and exits with its status."""
    sys.exit(run_to_exit(app))


if __name__ == "__main__":
    main()
