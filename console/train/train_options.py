"""Options of `notemill train` and `notemill annotate`, each with the words that `--help` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="Files or folders of .csv, .tsv, .parquet, .json or .jsonl (gzip is fine), or a data set's"
        " name on the hub with --revision.",
    ),
]
PreparedOutput = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where the prepared folder goes.")
]
CorpusName = Annotated[str, typer.Argument(metavar="NAME", help="mtsamples or aci_bench.")]
CorpusNotes = Annotated[
    Path,
    typer.Option(
        "--notes", metavar="PATH", help="JSON lines with the texts, or a folder of them: id, text or note."
    ),
]
CorpusOutput = Annotated[
    Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where train, dev and test.jsonl go.")
]
Inspect = Annotated[
    bool, typer.Option("--inspect", help="Only look: columns, origins, turns and samples, nothing filtered.")
]
HeldOut = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="PATH",
        help="What is evaluated on: nothing that is or quotes it, by runs of 13 words, is kept. A file, or a"
        " folder's test*, dev*, valid*, eval* and held* files; repeatable.",
    ),
]
MedicalOrigin = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="A value of the origin column that is medical; repeatable. Without: those with 'med' in them.",
    ),
]
TextColumn = Annotated[
    str, typer.Option(metavar="NAME", help="The conversations' column.", show_default="chat_sample or input")
]
OriginColumn = Annotated[
    str, typer.Option(metavar="NAME", help="The origins' column.", show_default="dataset_origin")
]
Revision = Annotated[
    str | None, typer.Option(metavar="COMMIT", help="Of a data set on the hub, 40 characters.")
]
ValidationShare = Annotated[
    float,
    typer.Option(
        metavar="SHARE", min=0.0, max=0.5, help="The part of conversations and notes to validate with."
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Of everything that is drawn by chance.")]
Data = Annotated[Path | None, typer.Option(metavar="FOLDER", help="What `train prepare` wrote.")]
AdapterOutput = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Where the adapter goes.")
]
Weights = Annotated[
    str | None,
    typer.Option(metavar="WEIGHTS", help="mistral-7b, smollm2-135m or a folder; without it the setting's."),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        help="A built-in recipe's name or a .yaml file; without it the weights' own.",
    ),
]
Start = Annotated[Path | None, typer.Option(metavar="ADAPTER", help="An adapter's folder to go on from.")]
Epochs = Annotated[int | None, typer.Option(metavar="N", min=1, help="Instead of the recipe's.")]
Steps = Annotated[int | None, typer.Option(metavar="N", min=1, help="At most so many steps.")]
StopAfter = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Stop after N steps of the whole run, to see its first losses."),
]
Restart = Annotated[bool, typer.Option("--restart", help="Throw away the checkpoints that --output has.")]
PlanOnly = Annotated[
    bool, typer.Option("--plan", help="Only what it takes in memory, on a card of --gib (8).")
]
Adapter = Annotated[Path, typer.Argument(metavar="ADAPTER", help="What `train finetune` wrote.")]
MergedOutput = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FOLDER", help="Where the merged weights go; must not exist."),
]
AnnotatedSource = Annotated[
    Path, typer.Argument(metavar="SOURCE", help="A .json or .jsonl file, or a folder of .txt and .ann.")
]
NotesOutput = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="A .jsonl file, for your eyes only.")
]
LabelMap = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="SOURCE=LABEL", help="What a label of theirs is called here; repeatable."),
]
Gguf = Annotated[
    Literal["f32", "f16", "bf16", "q8_0", "q4_0"] | None,
    typer.Option(help="A GGUF file for llama.cpp as well; of smollm2-135m only."),
]
JoinData = Annotated[
    list[Path],
    typer.Option(
        "--data",
        metavar="PATH",
        help="Dev data with queries: concepts, notes with headings, questions with answers, or records with"
        " `queries`; a folder's dev or valid file. Repeatable.",
    ),
]
LexiconData = Annotated[
    list[Path],
    typer.Option(
        "--data",
        metavar="PATH",
        help="Annotated notes, a JSON line each, or a folder with a train.jsonl; never what is evaluated on."
        " Repeatable.",
    ),
]
NamesFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--names",
        metavar="LABEL=FILE",
        help="Names of a label besides, one a line, such as a formulary or a terminology; repeatable.",
    ),
]
JoinLimit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Queries of each data set.")]
