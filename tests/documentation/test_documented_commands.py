"""Every command that README and docs show: ours are executed, or parsed and told why not more.

Executed in the order of the pages, on a store and a worker of the test's own, with what a reader puts in the
place of the examples' names (REPLACED). What is not executed stands in APART, with who runs it instead.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from documented import ROOT, Command, commands
from typer._click.exceptions import MissingParameter
from typer.main import get_command

from models.settings import PREFIX, Settings
from notemill.verbs import app

if TYPE_CHECKING:
    from reader import Reader

pytest_plugins = ("redis_server", "reader")

pytestmark = pytest.mark.xdist_group("pages")
"""In one process: a page may go on from what an earlier one had written."""
COMMANDS = list(dict.fromkeys(commands()))
PAGES = list(dict.fromkeys(command.page for command in COMMANDS))
VERBS: Any = get_command(app)
OURS = [command for command in COMMANDS if command.program == "notemill"]

APART = {
    r"worker$": "runs until it is stopped; the one of these tests is such a process",
    r"view$": "serves until it is stopped: tests/support/view_server.py",
    r"weights prepare$": "reads 100 MB: make demo",
    r"db roles$": "PostgreSQL: tests/models/test_database_roles.py",
    r"run --explain$": "an option is spoken of: tests/console/test_time_breakdown.py",
    r"--install-completion$": "writes into the shell's own file: tests/console/test_command_line.py",
    r"export --help$": "a person reads it",
    r"run examples/formats$": "reference/formats-in.md has it with --task",
    r"submit /notes$": "a folder of the container's",
    r"compare .*(now|other\.toml)": "starts workers of its own: tests/console/test_compare.py",
    r"export --to spacy": "spaCy takes 8 s to import: tests/exports/test_exports.py",
    r"train (finetune|merge)": "minutes: tests/training/test_finetune.py",
    r"train lexicon": "beside what finetune wrote: tests/worker/entities/test_lexicon.py",
    r"train evaluate": "corpora and minutes: tests/training/evaluation/test_evaluation.py",
    r"train prepare SOURCE": "no source in particular; guides/trainer.md has one",
    r"purge --expired": "wants a retention in the settings: tests/console/test_purge.py",
}
"""Ours that are parsed only, and why."""

OTHERS = {
    "airflow": "run by hand: docs/reference/nightly-plan.md",
    "apt-get": "changes the machine",
    "chmod": "",
    "cp": "",
    "curl": "asks a worker: tests/worker/telemetry/test_prometheus_metrics.py",
    "do": "a loop's",
    "docker": "no daemon; its services and what they run are checked",
    "export": "its settings are checked",
    "for": "a loop's",
    "git": "changes the tree",
    "make": "its targets are checked; CI is `make test`",
    "mkdocs": "tests/test_documentation.py builds the site",
    "openssl": "",
    "pip": "its extras are checked",
    "psql": "",
    "python": "minutes; its options are checked",
    "sqlite3": "",
    "promtool": "tests/packaging/test_deploy.py",
    "systemd-analyze": "tests/console/nightly/test_nightly_examples.py",
    "celery": "tests/console/nightly/test_nightly_examples.py",
    "vllm": "needs a GPU",
}
"""Programs of other people, and why they are not run here."""

REPLACED = {
    "postgresql://me@host/cdm": "sqlite:///out.db",
    "postgresql://me@db/cdm": "sqlite:///cdm.db",
    "postgresql://me@db/mimic": "sqlite:///mimic.db",
    "#12": "#1",
    "7": "2",
}
CHANGES_TEXT = "docs/guides/privacy-officer.md"
"""Its commands encrypt and erase: they have a copy of the store."""
GENERATED = tuple(f"docs/reference/{name}.md" for name in ("cli", "exit-status", "settings", "views"))
"""The examples of `--help`: parsed; other pages have them in a place where there is something to do."""
STATUS = {"doctor --plan mistral-7b --gib 8": 1}
"""Where another exit status than 0 is what the page says: those weights do not fit."""


def is_complete(words: tuple[str, ...]) -> bool:
    """Whether it has all that it needs. Raises what the command line would say against the rest."""
    command: Any = VERBS
    names = list(words)
    if names[0].startswith("--"):
        # Not parsed: what it does would be done.
        return names[0] in {name for one in VERBS.params for name in one.opts}
    while hasattr(command, "commands") and names:
        command = command.commands[names.pop(0)]
    try:
        command.make_context("notemill", [name for name in names if name not in ("…", "--help")])
    except MissingParameter:
        return False
    return True


@pytest.mark.parametrize("page", PAGES)
def test_the_verb_and_every_option_of_a_command_are_there(page: str) -> None:
    for command in of_page(page):
        if "VERB" not in command.words:
            is_more = command.is_whole and "--help" not in command.words
            assert is_complete(command.words[1:]) or not is_more, command.text


def test_settings_that_are_set_before_a_command_are_settings() -> None:
    named = {name for command in COMMANDS for name in command.settings if name.startswith(PREFIX)}
    assert len(named) > 5
    assert {name.removeprefix(PREFIX).lower() for name in named} <= set(Settings.model_fields)


def test_programs_of_other_people_are_few_and_known() -> None:
    assert {command.program for command in COMMANDS} - {"notemill"} == set(OTHERS)


def test_targets_of_make_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {word for one in COMMANDS if one.program == "make" for word in one.words[1:] if "=" not in word}
    assert asked <= targets


def test_extras_that_pip_is_asked_for_are_extras() -> None:
    asked = {
        extra
        for one in COMMANDS
        for name in re.findall(r"notemill\[(.*)]", one.text)
        for extra in name.split(",")
    }
    extras = set(re.findall(r"^(\w+) = \[$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    assert asked <= extras


def test_benchmarks_are_there_with_the_options_they_are_given() -> None:
    asked = [one.words for one in COMMANDS if one.words[:2] == ("python", "-m")]
    assert len(asked) > 5
    for _, _, module, *rest in asked:
        spec = importlib.util.find_spec(module)
        assert spec is not None, module
        path = Path(str(spec.origin))
        source = path.with_name("__main__.py" if path.name == "__init__.py" else path.name).read_text("utf-8")
        assert [word for word in rest if word.startswith("--") and f'"{word}"' not in source] == [], module


def test_services_that_compose_is_asked_for_are_services() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for command in COMMANDS:
        if command.words[:3] == ("docker", "compose", "run"):
            service, *ours = [word for word in command.words[3:] if word not in ("--rm", "--no-deps")]
            assert service in services
            if ours and ours[0] != "VERB":
                assert is_complete(tuple(ours))


def is_question_cached(command: Command) -> bool:
    text = " ".join(command.words[1:])
    is_mention = not command.is_whole and len(command.words) == 2
    if is_mention or "VERB" in command.words or any(re.match(pattern, text) for pattern in APART):
        return True
    return not is_complete(command.words[1:])


def test_every_reason_not_to_execute_is_still_one() -> None:
    texts = [" ".join(command.words[1:]) for command in OURS]
    assert [pattern for pattern in APART if not any(re.match(pattern, text) for text in texts)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page not in (CHANGES_TEXT, *GENERATED)])
def test_the_commands_of_a_page_do_what_they_say(reader: Reader, page: str) -> None:
    before = OURS[: OURS.index(of_page(page)[0])] if of_page(page) else []
    elsewhere = {command.words for command in before if command.page not in (CHANGES_TEXT, *GENERATED)}
    for command in of_page(page):
        if command.words not in elsewhere and not is_question_cached(command):
            executed(reader, command)


def of_page(page: str) -> list[Command]:
    return [command for command in OURS if command.page == page]


def executed(reader: Reader, command: Command) -> None:
    """Raises where the exit status is not the one the page lets expect."""
    replaced = REPLACED | dict(zip(("3f2a91c0", "77b0e1aa"), reader.recipes, strict=True))
    words = [replaced.get(word, word) for word in command.words[1:]]
    status = reader(*words)
    assert status == STATUS.get(" ".join(command.words[1:]), 0), (command.text, reader.out, reader.err)


def test_what_encrypts_and_erases_does(reader: Reader, tmp_path: Path) -> None:
    copy = reader.moved(tmp_path / "copy")
    (copy.folder / "key").write_text("A" * 43 + "=\n")
    (copy.folder / "key").chmod(0o400)
    copy.environment["NOTEMILL_ENCRYPTION_KEY_FILE"] = str(copy.folder / "key")
    for command in dict.fromkeys(
        one.words for one in OURS if one.page == CHANGES_TEXT and not is_question_cached(one)
    ):
        words = (*command[1:], *(["--yes"] if "--patient" in command else []))
        assert copy(*words) == 0, (command, copy.out, copy.err)
