"""Every command that README and docs show is executed, or parsed only, with the reason.

Commands run in the order of the pages, on a store and a worker of the test's own. REPLACED holds the values
that replace names in the examples; NOT_EXECUTED lists commands that are only parsed, with the reason.
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

"""All in one process: a page may use files that an earlier page has written."""
COMMANDS = list(dict.fromkeys(commands()))
PAGES = list(dict.fromkeys(command.page for command in COMMANDS))
VERBS: Any = get_command(app)
OURS = [command for command in COMMANDS if command.program == "notemill"]

NOT_EXECUTED = {
    r"worker$": "runs until it is stopped; the one of these tests is such a process",
    r"view$": "serves until it is stopped: tests/support/view_server.py",
    r"weights prepare$": "reads 100 MB: make demo",
    r"db roles$": "PostgreSQL: tests/models/test_database_roles.py",
    r"run --explain$": "the text mentions an option: tests/console/test_time_breakdown.py",
    r"--install-completion$": "writes into the shell's own file: tests/console/test_command_line.py",
    r"export --help$": "a person reads it",
    r"run examples/formats$": "reference/formats-in.md has it with --task",
    r"submit /notes$": "a folder of the container's",
    r"compare .*(now|other\.toml)": "starts workers of its own: tests/console/test_compare.py",
    r"export --to spacy": "spaCy takes 8 s to import: tests/exports/test_exports.py",
    r"train (finetune|merge)": "minutes: tests/training/test_finetune.py",
    r"train lexicon": "beside what finetune wrote: tests/worker/entities/test_lexicon.py",
    r"train evaluate": "corpora and minutes: tests/training/evaluation/test_evaluation.py",
    r"train corpus": "needs notes that are not ours: tests/training/test_corpora.py",
    r"train prepare SOURCE": "no source in particular; guides/trainer.md has one",
    r"purge --expired": "wants a retention in the settings: tests/console/test_purge.py",
}
"""Commands of notemill that are parsed only, and the reason."""

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
"""Other programs, and why the test does not run them."""

REPLACED = {
    "postgresql://me@host/cdm": "sqlite:///out.db",
    "postgresql://me@db/cdm": "sqlite:///cdm.db",
    "postgresql://me@db/mimic": "sqlite:///mimic.db",
    "#12": "#1",
    "7": "2",
}
PRIVACY_PAGE = "docs/guides/privacy-officer.md"
"""The page whose commands encrypt and erase; they run on a copy of the store."""
GENERATED = tuple(f"docs/reference/{name}.md" for name in ("cli", "exit-status", "settings", "views"))
"""Pages generated from `--help`. Their examples are parsed only; other pages show them in context."""
STATUS = {"doctor --plan mistral-7b --gib 8": 1}
"""Commands whose documented exit status is not 0: these weights do not fit."""


def is_complete(words: tuple[str, ...]) -> bool:
    """True if no argument is missing. Raises typer's error for any other mistake."""
    command: Any = VERBS
    names = list(words)
    if names[0].startswith("--"):
        # Not parsed, because parsing such an option runs it.
        return names[0] in {name for option in VERBS.params for name in option.opts}
    while hasattr(command, "commands") and names:
        command = command.commands[names.pop(0)]
    try:
        command.make_context("notemill", [name for name in names if name not in ("…", "--help")])
    except MissingParameter:
        return False
    return True


@pytest.mark.parametrize("page", PAGES)
def test_the_verb_and_every_option_of_a_command_exist(page: str) -> None:
    for command in commands_of_page(page):
        if "VERB" not in command.words:
            is_more = command.is_whole and "--help" not in command.words
            assert is_complete(command.words[1:]) or not is_more, command.text


def test_environment_variables_set_in_commands_are_existing_settings() -> None:
    named = {name for command in COMMANDS for name in command.settings if name.startswith(PREFIX)}
    assert len(named) > 5
    assert {name.removeprefix(PREFIX).lower() for name in named} <= set(Settings.model_fields)


def test_every_other_program_is_listed_with_a_reason() -> None:
    assert {command.program for command in COMMANDS} - {"notemill"} == set(OTHERS)


def test_make_targets_exist_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = {
        word
        for command in COMMANDS
        if command.program == "make"
        for word in command.words[1:]
        if "=" not in word
    }
    assert asked <= targets


def test_extras_in_pip_commands_exist() -> None:
    asked = {
        extra
        for command in COMMANDS
        for name in re.findall(r"notemill\[(.*)]", command.text)
        for extra in name.split(",")
    }
    extras = set(re.findall(r"^(\w+) = \[$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    assert asked <= extras


def test_benchmarks_and_their_options_exist() -> None:
    asked = [command.words for command in COMMANDS if command.words[:2] == ("python", "-m")]
    assert len(asked) > 5
    for _, _, module, *rest in asked:
        spec = importlib.util.find_spec(module)
        assert spec is not None, module
        path = Path(str(spec.origin))
        source = path.with_name("__main__.py" if path.name == "__init__.py" else path.name).read_text("utf-8")
        assert [word for word in rest if word.startswith("--") and f'"{word}"' not in source] == [], module


def test_services_in_compose_commands_exist() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for command in COMMANDS:
        if command.words[:3] == ("docker", "compose", "run"):
            service, *ours = [word for word in command.words[3:] if word not in ("--rm", "--no-deps")]
            assert service in services
            if ours and ours[0] != "VERB":
                assert is_complete(tuple(ours))


def is_not_executed(command: Command) -> bool:
    text = " ".join(command.words[1:])
    is_mention = not command.is_whole and len(command.words) == 2
    if is_mention or "VERB" in command.words or any(re.match(pattern, text) for pattern in NOT_EXECUTED):
        return True
    return not is_complete(command.words[1:])


def test_every_exception_from_execution_still_matches_a_command() -> None:
    texts = [" ".join(command.words[1:]) for command in OURS]
    assert [pattern for pattern in NOT_EXECUTED if not any(re.match(pattern, text) for text in texts)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page not in (PRIVACY_PAGE, *GENERATED)])
def test_the_commands_of_a_page_exit_as_documented(reader: Reader, page: str) -> None:
    before = OURS[: OURS.index(commands_of_page(page)[0])] if commands_of_page(page) else []
    elsewhere = {command.words for command in before if command.page not in (PRIVACY_PAGE, *GENERATED)}
    for command in commands_of_page(page):
        if command.words not in elsewhere and not is_not_executed(command):
            run(reader, command)


def commands_of_page(page: str) -> list[Command]:
    return [command for command in OURS if command.page == page]


def run(reader: Reader, command: Command) -> None:
    """Runs the command and checks its exit status."""
    replaced = REPLACED | dict(zip(("3f2a91c0", "77b0e1aa"), reader.recipes, strict=True))
    words = [replaced.get(word, word) for word in command.words[1:]]
    status = reader(*words)
    assert status == STATUS.get(" ".join(command.words[1:]), 0), (command.text, reader.out, reader.err)


def test_commands_that_encrypt_and_erase_succeed(reader: Reader, tmp_path: Path) -> None:
    copy = reader.moved(tmp_path / "copy")
    (copy.folder / "key").write_text("A" * 43 + "=\n")
    (copy.folder / "key").chmod(0o400)
    copy.environment["NOTEMILL_ENCRYPTION_KEY_FILE"] = str(copy.folder / "key")
    for command in dict.fromkeys(
        documented.words
        for documented in OURS
        if documented.page == PRIVACY_PAGE and not is_not_executed(documented)
    ):
        words = (*command[1:], *(["--yes"] if "--patient" in command else []))
        assert copy(*words) == 0, (command, copy.out, copy.err)
