"""The Typer application and the groups of verbs, in the order of `notemill --help`."""

from __future__ import annotations

from functools import partial

import typer

from console.terminal.exit_status import MEANINGS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Entities, search and summaries over clinical notes, each answer tied to the characters it came"
    " from.\n\nStart with: `notemill run examples/notes`\n\nExit status: "
    + "; ".join(f"{status} {words}" for status, words in MEANINGS.items())
    + ".",
)
work_verb = partial(app.command, rich_help_panel="Work")
look_verb = partial(app.command, rich_help_panel="Look")
keep_verb = partial(app.command, rich_help_panel="Keep in order")


def _group(name: str, panel: str, words: str) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, help=words)
    app.add_typer(group, name=name, rich_help_panel=panel)
    return group


database_verb = _group(
    "db", "Keep in order", "The tables of the database: upgrade, check, roles, rekey."
).command
audit_verb = _group("audit", "Keep in order", "The audit trail: show, verify.").command
recipe_verb = _group(
    "recipe", "Keep in order", "What answers were made with: list, show, diff, adopt."
).command
weights_verb = _group("weights", "Keep in order", "The weights of the language model: prepare.").command
train_verb = _group(
    "train",
    "Train",
    "Fine-tuning, and how good answers are: prepare, finetune, evaluate, merge, join, lexicon.",
).command
annotate_verb = _group("annotate", "Train", "Notes that people have annotated: import.").command
