"""Set-up, wheel, container images, the compose file, and which command imports which module."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from tiny import write_tiny_weights

from models.settings import PREFIX, Settings
from notemill.verbs import app

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
OURS = ("console", "exports", "models", "producer", "training", "web", "worker")
CORPUS = "examples/corpus"
HEAVY = ("torch", "transformers", "bitsandbytes", "llguidance", "peft", "numpy")
SECRET_NAME = re.compile(r"PASSWORD|TOKEN|SECRET|AUTH|KEY")
VARIABLE = re.compile(r"\$\{[A-Z_]+(:[?-][^}]*)?\}")


def sources() -> Iterator[Path]:
    for package in ("notemill", *OURS):
        yield from sorted((ROOT / package).rglob("*.py"))


def reads_environment(tree: ast.AST) -> bool:
    names = {"environ", "environb", "getenv", "getenvb"}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "os"
        for alias in node.names
    }
    return bool(names & (attributes | imported))


def modules_after(code: str) -> set[str]:
    """Runs the code in a new Python; returns the top-level modules that are loaded afterwards."""
    end = "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code + end], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def our_services() -> dict[str, dict[str, Any]]:
    return {
        name: service
        for name, service in COMPOSE["services"].items()
        if service["image"].startswith("notemill-")
    }


def verb_of(arguments: list[str]) -> str:
    """Parses a command line as notemill does and returns its verb; raises typer's error for unknown words."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("notemill", list(arguments))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, list(rest), parent=context)
    return str(context.command_path)


def run_setup(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `scripts/setup` in a clone in `folder`, with only the usual tools on the PATH."""
    for name in ("scripts/setup", "pyproject.toml", "constraints.txt", "hashes/everything.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("sh", "dirname", "cat", "cksum", "tr", "sed", "uname", "rm", "mkdir", "grep"):
        if not (tools / name).exists():
            (tools / name).symlink_to(str(shutil.which(name)))
    return subprocess.run(
        [str(tools / "sh"), str(folder / "scripts/setup")],
        env={"PATH": str(tools), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def an_old_python(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\nexit 1\n", "utf-8")  # fails the check for 3.11 to 3.13
    path.chmod(0o755)


def test_only_the_settings_read_the_environment() -> None:
    readers = [path for path in sources() if reads_environment(ast.parse(path.read_text("utf-8")))]
    assert readers == [ROOT / "models/settings.py"]


def test_help_imports_no_network_no_queue_and_no_database() -> None:
    code = "import sys; from notemill.command_line import main; sys.argv = ['', '--help']"
    code += "\ntry: main()\nexcept SystemExit: pass"
    assert not modules_after(code) & {*HEAVY, "celery", "kombu", "redis", "sqlalchemy", "alembic"}


def test_a_producer_imports_no_network() -> None:
    assert not modules_after(
        "import producer, producer.submission.redis_publisher, producer.sources.sql_query"
    ) & {*HEAVY, "worker"}


def test_help_takes_less_than_one_and_a_half_seconds() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "notemill", "--help"], cwd=ROOT, capture_output=True, check=True
        )
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 1.5


def test_each_dependency_has_an_exact_version() -> None:
    project = PROJECT["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    asked = {re.split(r"[\[;]", name)[0].strip().lower() for name in [*project["dependencies"], *extras]}
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!]+", pin) for pin in pins)
    pinned = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    assert {name.replace("_", "-") for name in asked} <= pinned


def test_every_pinned_package_has_a_hash() -> None:
    """Fails if `scripts/hashes` was not run after a change of constraints.txt."""
    pins = set(re.findall(r"^([\w.-]+==\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE))
    pins = {plain(pin) for pin in pins}
    hashed: set[str] = set()
    for path in sorted((ROOT / "hashes").glob("*.txt")):
        blocks = re.split(r"\n(?=\S)", path.read_text("utf-8").strip())
        assert all(re.search(r" --hash=sha256:[0-9a-f]{64}", block) for block in blocks), path.name
        hashed |= {plain(block.split()[0]) for block in blocks}
    assert hashed <= pins
    extras = PROJECT["project"]["optional-dependencies"].values()
    direct = {plain(re.split(r"[\[;]", name)[0].strip()) for extra in extras for name in extra}
    assert direct <= {name.partition("==")[0] for name in hashed}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+(?=.*==|[^=]*$)", "-", name.lower())


def audited(folder: Path, pip_audit: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `scripts/audit` with `pip_audit` as the script of pip-audit, or without pip-audit."""
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/audit", folder / "scripts/audit")
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to(sys.executable)
    if pip_audit:
        (folder / ".venv/bin/pip-audit").write_text(f"#!/bin/sh\n{pip_audit}\n", "utf-8")
        (folder / ".venv/bin/pip-audit").chmod(0o755)
    (folder / "hashes").mkdir()
    (folder / "hashes/everything.txt").write_text("six==1.0\n", "utf-8")
    return subprocess.run(
        ["sh", "scripts/audit"], cwd=folder, env=os.environ | environment, capture_output=True, text=True
    )


def test_an_audit_without_pip_audit_is_reported_as_skipped(tmp_path: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    nowhere |= {"PATH": "/usr/bin:/bin", "PIP_FIND_LINKS": "", "PIP_NO_CACHE_DIR": "1"}
    done = audited(tmp_path, **nowhere)
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "Skipped"), done.stderr


@pytest.mark.parametrize(
    ("pip_audit", "status", "words"),
    [
        ("echo 'no answer' >&2; exit 1", 0, "Skipped: no index of advisories answers"),
        ("echo '{\"dependencies\": []}' > build/audit.json", 0, "No known weakness in 1 packages"),
        (
            'echo \'{"dependencies": [{"name": "six", "version": "1.0", "vulns":'
            ' [{"id": "X-1", "fix_versions": ["1.1"]}]}]}\' > build/audit.json; exit 1',
            1,
            "six 1.0: X-1, mended in 1.1",
        ),
    ],
)
def test_an_audit_distinguishes_a_vulnerability_from_an_unreachable_index(
    tmp_path: Path, pip_audit: str, status: int, words: str
) -> None:
    done = audited(tmp_path, pip_audit)
    assert (done.returncode, words in done.stdout) == (status, True), done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    for name in ("notemill", *OURS, CORPUS):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    build = "from setuptools import build_meta; build_meta.build_wheel('..')"
    subprocess.run([sys.executable, "-c", build], cwd=tree, capture_output=True, check=True)
    return next(folder.glob("*.whl"))


def test_a_wheel_has_every_module_and_every_data_file(wheel: Path) -> None:
    tree = wheel.parent / "tree"
    files = {
        f"notemill/application/{path.relative_to(tree)}"
        for name in (*OURS, CORPUS)
        for path in (tree / name).rglob("*")
        if path.is_file() and path.suffix != ".md"
    }
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert files <= names
    assert {"notemill/sdk.py", "notemill/verbs/work.py"} <= names


def test_a_wheel_installs_only_the_package_notemill(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"notemill"}


FOREIGN = """
import json, sys
import models
from notemill.sdk import Notemill, NotemillCommandError

assert models.OURS == "a hospital's own package"
mill = Notemill()
run = mill.submit(
    ({"id": f"n{number}", "text": f"Visit {number}: no fever."} for number in range(3)),
    tasks=["entities"], searches=["fever"],
)
progress = run.progress()
rows = mill.query("SELECT external_id FROM v_documents ORDER BY external_id")
try:
    mill.query("SELECT x FROM nowhere")
except NotemillCommandError as error:
    refused = error.exit_status, "nowhere" in str(error)
def broken():
    yield {"id": "n9", "text": "One record."}
    raise RuntimeError("the source broke")
try:
    mill.submit(broken(), tasks=["entities"])
except RuntimeError as error:
    source = str(error)
answers = list(mill.results(run=run.id))
print(json.dumps([run.documents, run.new_jobs, progress["pending"], rows, answers, refused, source]))
assert "worker" not in sys.modules and models.OURS
"""


def test_the_sdk_works_in_etl_code_that_has_its_own_models_package(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(environment)
    project = tmp_path / "etl"
    (project / "models").mkdir(parents=True)
    (project / "models" / "__init__.py").write_text('OURS = "a hospital\'s own package"\n')
    (project / "job.py").write_text(FOREIGN)
    home = tmp_path / "home"
    # The wheel comes before the editable installation of this tree.
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(project), str(environment)]),
        f"{PREFIX}HOME": str(home),
        f"{PREFIX}WEIGHTS": str(write_tiny_weights(tmp_path / "weights")),
    }
    command = [sys.executable, "job.py"]
    done = subprocess.run(command, cwd=project, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    documents, new_jobs, pending, rows, results, refused, source = json.loads(done.stdout)
    assert (documents, new_jobs, pending) == (3, 6, 6)
    assert rows == [{"external_id": f"n{number}"} for number in range(3)]
    assert len(results) == 6
    assert (refused, source) == ([2, True], "the source broke")


def test_setup_without_a_python_says_what_to_type(tmp_path: Path) -> None:
    an_old_python(tmp_path / "tools/python3")
    done = run_setup(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("No Python 3.11 (3.11.5 or later), 3.12 or 3.13 on the PATH.")
    assert "make setup PYTHON=" in done.stderr


def test_setup_with_the_wrong_python_names_it(tmp_path: Path) -> None:
    done = run_setup(tmp_path, PYTHON="python9")
    assert done.returncode == 1
    assert done.stderr.startswith("PYTHON=python9 is not a Python 3.11 (3.11.5 or later), 3.12 or 3.13.")


def test_setup_never_removes_an_environment_that_it_did_not_make(tmp_path: Path) -> None:
    an_old_python(tmp_path / "python")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / "python").rename(tmp_path / ".venv/bin/python")
    done = run_setup(tmp_path)
    assert done.returncode == 1
    assert "Move it away, then type: make setup" in done.stderr
    assert (tmp_path / ".venv/bin/python").exists()


def test_make_without_a_target_lists_the_targets() -> None:
    environment = {name: os.environ[name] for name in ("PATH",)}
    done = subprocess.run(["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    for target in ("setup", "demo", "test", "lint", "types"):
        assert f"make {target}\t" in done.stdout


@pytest.mark.parametrize("name", our_services())
def test_a_service_runs_an_existing_verb(name: str) -> None:
    verbs = {
        "migrate": "notemill db upgrade",
        "weights": "notemill weights prepare",
        "worker": "notemill worker",
        "producer": "notemill submit",
    }
    assert verb_of(our_services()[name]["command"]) == verbs[name]


@pytest.mark.parametrize("name", our_services())
def test_a_service_sets_only_existing_settings(name: str) -> None:
    names = [key for key in our_services()[name]["environment"] if key.startswith(PREFIX)]
    assert names
    assert {key.removeprefix(PREFIX).lower() for key in names} <= set(Settings.model_fields)


def test_the_compose_file_contains_no_secret() -> None:
    for service in COMPOSE["services"].values():
        for name, value in service["environment"].items():
            if SECRET_NAME.search(name):
                assert VARIABLE.fullmatch(value.removeprefix("notemill:")), name
            assert not re.search(r"://[^@]*:[^@]+@", VARIABLE.sub("", value)), name


def test_the_example_environment_has_every_variable_and_no_secret() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text)) == set(example)
    assert not any(value for name, value in example.items() if SECRET_NAME.search(name))


def test_services_with_patient_text_have_no_external_network() -> None:
    services = COMPOSE["services"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    elsewhere = [name for name, service in services.items() if service["networks"] != ["inside"]]
    assert elsewhere == ["weights", "flower"]
    assert not re.search("/notes|DATABASE_URL", str([services[name] for name in elsewhere]))
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "flower": ["127.0.0.1:5555:5555"]
    }


def test_the_images_copy_every_package_and_nothing_else() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    assert names == set(allowed)
    assert names == {
        *OURS,
        CORPUS,
        "LICENSE",
        "README.md",
        "constraints.txt",
        "hashes",
        "notemill",
        "pyproject.toml",
        "setup.py",
    }


def test_the_examples_are_listed_and_say_that_they_are_synthetic() -> None:
    notes = sorted((ROOT / "examples/notes").iterdir())
    listed_names = re.findall(r"^\| `(\S+)`", (ROOT / "examples/README.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed_names) == [path.name for path in notes]
    assert all("(synthetic)" in path.read_text("utf-8") for path in notes)


def test_the_examples_have_a_long_note_and_one_with_crlf_line_ends() -> None:
    assert len((ROOT / "examples/notes/transfer_long.txt").read_text("utf-8").split()) > 3_000
    odd = (ROOT / "examples/notes/odd_characters.txt").read_bytes()
    assert odd.count(b"\n") == odd.count(b"\r\n") > 20
