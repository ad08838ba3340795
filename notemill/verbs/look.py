"""The verbs that read the database: status, results, export, show, view, find, compare, sql, and others."""

from __future__ import annotations

from console.terminal import options
from notemill.verbs.groups import look_verb


@look_verb(epilog="Example: `notemill status 3 --watch`")
def status(
    run: options.RunToShow = None,
    watch: options.Watch = False,
    explain: options.Explain = False,
    as_json: options.Json = False,
) -> int:
    """Show runs: progress, pace, why jobs failed, and with --explain where the time went."""
    from console.inspect.status import show_status

    return show_status(run, is_watching=watch, is_explaining=explain, as_json=as_json)


@look_verb(epilog="Example: `notemill results --run 3 --format jsonl --output results.jsonl`")
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


@look_verb(epilog="Example: `notemill export --to fhir --output notes.ndjson`")
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


@look_verb(epilog="Example: `notemill show discharge_01`")
def show(
    document: options.StoredNote,
    run: options.Run = None,
    plain: options.Plain = False,
    html: options.HtmlFile = None,
) -> int:
    """Show a note, its entities marked, its summary and passages; with --html as a page in one file."""
    from console.inspect.show import show_document

    return show_document(document, run_id=run, is_plain=plain, html=html)


@look_verb(epilog="Example: `notemill view`")
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


@look_verb(epilog="Example: `notemill corrections --output corrected.jsonl`")
def corrections(output: options.Output = None) -> int:
    """Write the notes that were corrected in `view`, to train on.

    A line a note: its text, the mentions that stand, those rejected, and whether all were looked at.
    """
    from console.inspect.corrections_command import write_corrections

    return write_corrections(output)


@look_verb(epilog="Example: `notemill find 'chest pain -fever'`")
def find(words: options.Words, limit: options.Rows = 20, as_json: options.Json = False) -> int:
    """Find stored summaries and passages by their words.

    All words have to be there, in any form of theirs; "in quotes" side by side, with -before not at all.
    Nothing is computed: `run --search` asks the network which sentences answer a question.
    """
    from console.inspect.find import find

    return find(words, limit=limit, as_json=as_json)


@look_verb(epilog="Example: `notemill compare 3f2a now --notes 50`")
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


@look_verb(epilog='Example: `notemill sql "SELECT label, COUNT(*) FROM v_entities GROUP BY label"`')
def sql(statement: options.Statement, limit: options.Rows = 200, as_json: options.Json = False) -> int:
    """Query the views, read-only; with --json an object for each row."""
    from console.inspect.sql_command import show_rows

    return show_rows(statement, limit=limit, as_json=as_json)


@look_verb(epilog="Example: `notemill prompts examples/notes/radiology.txt --task summary`")
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


@look_verb(epilog="Example: `notemill labels > my-labels.toml`")
def labels(file: options.LabelsFile = None) -> int:
    """Print the entity labels in the form of a labels file."""
    from models.labels import as_toml, load_labels
    from models.settings import load_settings

    print(as_toml(load_labels(file or load_settings().labels_file)), end="")
    return 0
