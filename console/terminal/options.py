"""Command-line options that several verbs share, each with the words that `--help` shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer


def _among(*words: str) -> Callable[[str], list[str]]:
    """Shell completion among fixed values."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE",
        help="Files, folders or globs of .txt, .jsonl, .csv, .tsv, .parquet (gzip is fine), FHIR, HL7 v2,"
        " C-CDA, .html, .rtf, .pdf, .docx; - is standard input.",
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        "-t",
        metavar="TASK",
        autocompletion=_among("entities", "summary"),
        help="entities or summary; repeat for both. With neither --task nor --search: both.",
    ),
]
Searches = Annotated[
    list[str] | None,
    typer.Option("--search", "-s", metavar="QUERY", help="Find the sentences that answer it; repeatable."),
]
Labels = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Entity labels (TOML); `notemill labels` prints the form.")
]
SummaryWords = Annotated[
    int | None, typer.Option(metavar="N", help="About how long a summary may be.", show_default=False)
]
Sql = Annotated[str | None, typer.Option(metavar="URL", help="Read notes from this database, with --query.")]
Query = Annotated[str | None, typer.Option(metavar="SQL", help="The SELECT whose rows are the notes.")]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=_among("omop", "mimic"),
        help="omop (the note table of CDM v5.4) or mimic (MIMIC-IV-Note): tables and columns, in --sql or in"
        " files.",
    ),
]
IdColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The column of the notes' ids.")]
TextColumn = Annotated[str | None, typer.Option(metavar="NAME", help="The column of the notes' text.")]
Rejects = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Where refused records are listed, without their text.")
]
Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="Take no more than the first N records.")]
Urgent = Annotated[
    bool, typer.Option("--urgent", help="Before everything that waits, as for a person who looks on.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors while working.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON value on standard output, for programs.")]
Ready = Annotated[bool, typer.Option("--ready", help="Ask whether it is ready, not only alive.")]
Explain = Annotated[bool, typer.Option("--explain", "-e", help="Show where the time went.")]
Run = Annotated[int | None, typer.Option("--run", metavar="RUN", help="Only this run; `status` lists them.")]
RunToShow = Annotated[int | None, typer.Argument(metavar="[RUN]", help="One run in detail.")]
RunToCancel = Annotated[int, typer.Argument(metavar="RUN", help="The run's id; `status` lists them.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Follow it until it is done.")]
Task = Annotated[str | None, typer.Option("--task", "-t", metavar="TASK", help="Only this task.")]
Status = Annotated[
    str | None, typer.Option(metavar="STATUS", help="Only jobs that stand so: finished, failed, pending, …")
]
Form = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        metavar="FORM",
        autocompletion=_among("table", "jsonl", "csv", "parquet"),
        help="table, jsonl, csv or parquet; guessed from --output.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Written whole or not at all, for your eyes only."),
]
Reason = Annotated[
    str | None, typer.Option(metavar="REASON", help="Only jobs that failed so; `status RUN` lists reasons.")
]
StoredNote = Annotated[
    str, typer.Argument(metavar="DOCUMENT", help="The note's id in its source, or #7 for document 7.")
]
Note = Annotated[
    str,
    typer.Argument(metavar="DOCUMENT", help="A stored note's id, #7 for document 7, or a text file."),
]
Plain = Annotated[bool, typer.Option("--plain", help="No colours: labels in brackets around the words.")]
Statement = Annotated[
    str,
    typer.Argument(metavar="SELECT", help="Any SELECT in quotes; docs/reference/sql.md describes the views."),
]
Plan = Annotated[
    str | None, typer.Option("--plan", metavar="WEIGHTS", help="Only the memory plan of these weights.")
]
Gib = Annotated[
    float | None, typer.Option("--gib", metavar="N", min=0.1, help="With --plan: on a GPU of so many GiB.")
]
Rows = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Show no more rows.")]
LabelsFile = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="Check this labels file and print it.")
]
TaskToEvaluate = Annotated[
    str,
    typer.Option("--task", "-t", metavar="TASK", help="entities, assertion, links, search, summary, or all."),
]
EvaluationData = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="DIR_OR_FILE",
        help="JSON lines; of a folder its dev, valid or test split, or its one file; or builtin.",
    ),
]
LabelMap = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="SOURCE=LABEL",
        help="What a label of the data is called here; repeatable. Without: our own names and those of known"
        " corpora.",
    ),
]
Half = Annotated[
    str | None, typer.Option(metavar="odd|even", help="Every second record, of data without splits.")
]
Baselines = Annotated[
    list[str] | None,
    typer.Option(
        "--baseline",
        metavar="NAME",
        help="In the same table: dictionary or scispacy (entities), negex (assertion), bm25 or minilm"
        " (search), lead3 (summary); repeatable.",
    ),
]
ErrorsPage = Annotated[
    Path | None, typer.Option("--errors", metavar="FILE.html", help="Errors side by side, the worst first.")
]
CalibrationPlot = Annotated[
    Path | None,
    typer.Option(metavar="FILE.png", help="Whether probabilities are honest, as a picture (entities)."),
]
NightPlan = Annotated[
    Path | None,
    typer.Argument(metavar="[PLAN]", help="The plan (TOML); else nightly.toml in the home folder."),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Stop at this time of the day, e.g. 06:00; else the plan's."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only tell what there is to do and how long it takes.")
]
HtmlFile = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the page of the note into this file.")
]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Listen on this address of the machine.")]
Port = Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0: any that is free.")]
Certificate = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Speak TLS with this certificate (PEM), with --key.")
]
Key = Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key.")]
BehindProxy = Annotated[
    bool, typer.Option("--behind-proxy", help="A proxy on this machine speaks TLS to the browsers.")
]
Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who corrects, for the record; else your login name.")
]
ExportForm = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="FORM",
        autocompletion=_among("omop", "fhir", "parquet", "jsonl", "csv", "brat", "labelstudio", "spacy"),
        help="omop, fhir, parquet, jsonl, csv, brat, labelstudio or spacy.",
    ),
]
ExportOutput = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="A file (fhir, jsonl, csv, labelstudio), a folder (omop, parquet, brat, spacy), or for omop a"
        " database URL. Written whole or not at all.",
    ),
]
Vocabulary = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="CSV: label, text, concept_id, code, … for omop and fhir."),
]
PurgeDocument = Annotated[
    str | None, typer.Option("--document", metavar="ID", help="All versions of this note, or #7.")
]
PurgePatient = Annotated[
    str | None, typer.Option("--patient", metavar="ID", help="All notes whose metadata name this patient.")
]
PatientColumn = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Where the metadata have the patient; repeatable.", show_default=False),
]
PurgeBefore = Annotated[
    str | None,
    typer.Option("--before", metavar="DATE", help="Registered before, and asked for by no run since."),
]
PurgeRun = Annotated[
    int | None, typer.Option("--run", metavar="RUN", help="A run, and what no other run asked for.")
]
Expired = Annotated[bool, typer.Option("--expired", help="What is older than NOTEMILL_RETENTION_DAYS.")]
Rewrite = Annotated[
    bool, typer.Option("--rewrite", help="PostgreSQL: write every table anew, locked for that time.")
]
Receipt = Annotated[Path | None, typer.Option(metavar="FILE", help="Where the receipt goes.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Head = Annotated[
    str | None, typer.Option("--head", metavar="HASH", help="A hash noted earlier: is it in the chain?")
]
LastRows = Annotated[int, typer.Option("--last", metavar="N", min=1, help="So many of the newest.")]
AuditAction = Annotated[str | None, typer.Option("--action", metavar="ACTION", help="Only these.")]
Words = Annotated[str, typer.Argument(metavar="WORDS", help="In quotes where there are several.")]
RecipeBefore = Annotated[str, typer.Argument(metavar="RECIPE_A", help="A recipe's id, now, or FILE.toml.")]
RecipeAfter = Annotated[str, typer.Argument(metavar="RECIPE_B", help="A recipe's id, now, or FILE.toml.")]
SampleNotes = Annotated[int, typer.Option("--notes", metavar="N", min=1, help="How many notes to try.")]
RecipeId = Annotated[str, typer.Argument(metavar="RECIPE", help="The beginning of a recipe's id.")]
OldRecipe = Annotated[str, typer.Argument(metavar="OLD", help="The beginning of a recipe's id.")]
NewRecipe = Annotated[
    str, typer.Argument(metavar="NEW", help="The beginning of an id, or now: the recipe of these settings.")
]
UndoAdoption = Annotated[bool, typer.Option("--undo", help="Take the adoption back.")]
Adopt = Annotated[
    bool, typer.Option("--adopt", help="Let earlier answers that this version gives too count as its own.")
]
