"""The options of the command line that several verbs share, each with the words `--help` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SOURCE",
        help="Files, folders or globs of .txt, .jsonl, .csv, .tsv or .parquet (gzip is fine); - is standard"
        " input.",
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        "-t",
        metavar="TASK",
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
        "--format", "-f", metavar="FORM", help="table, jsonl, csv or parquet; guessed from --output."
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
    str, typer.Argument(metavar="SELECT", help="Any SELECT in quotes; docs/sql.md describes the views.")
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
ExportForm = Annotated[
    str,
    typer.Option("--to", metavar="FORM", help="omop, fhir, parquet, jsonl, csv, brat, labelstudio or spacy."),
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
Words = Annotated[str, typer.Argument(metavar="WORDS", help="In quotes where there are several.")]
RecipeBefore = Annotated[str, typer.Argument(metavar="RECIPE_A", help="A recipe's id, now, or FILE.toml.")]
RecipeAfter = Annotated[str, typer.Argument(metavar="RECIPE_B", help="A recipe's id, now, or FILE.toml.")]
SampleNotes = Annotated[int, typer.Option("--notes", metavar="N", min=1, help="How many notes to try.")]
