"""The scheduler examples match the command: verb, options, exit status and plan."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_group
from workshop import ROOT

from console.nightly.plan_file import NightlyPlan, read_plan
from console.terminal.exit_status import UNFINISHED
from notemill.verbs import app

EXAMPLES = ROOT / "examples" / "nightly"
CALLERS = ("crontab", "notemill-nightly.service", "airflow_dag.py")


def test_the_example_plan_is_valid() -> None:
    plan = read_plan(EXAMPLES / "plan.toml")
    assert (plan.tasks, plan.until, plan.order) == (("entities", "summary"), "06:00", "newest")


@pytest.mark.parametrize("name", CALLERS)
def test_a_scheduler_example_uses_only_existing_options(name: str) -> None:
    words = re.sub(r'"\n\s*"', "", (EXAMPLES / name).read_text("utf-8"))
    (called,) = re.findall(r"bin/notemill nightly ([^|\"\n]+)", words)
    context = get_group(app).commands["nightly"].make_context("nightly", called.split())
    assert (context.params["plan"], context.params["until"]) == (Path("/srv/notemill/archive.toml"), "06:00")
    assert str(UNFINISHED) in words


def test_beat_starts_a_nightly_run_every_evening() -> None:
    from examples.nightly.celery_beat import app as beat

    entry = beat.conf.beat_schedule["archive"]
    assert entry["task"] in beat.tasks
    assert (entry["schedule"].hour, entry["schedule"].minute, entry["args"]) == ({22}, {0}, ("06:00",))


def test_systemd_analyze_accepts_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    for unit in EXAMPLES.glob("notemill-nightly.*"):
        # systemd-analyze checks that the program exists, and here it is in another place.
        words = unit.read_text("utf-8").replace("/opt/notemill/.venv/bin/notemill", "/bin/true")
        (tmp_path / unit.name).write_text(words, "utf-8")
    command = ["systemd-analyze", "verify", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_docs_list_every_field_of_a_plan() -> None:
    words = (ROOT / "docs" / "reference" / "nightly-plan.md").read_text("utf-8")
    table = "".join(re.findall(r"^\| `.*$", words, re.MULTILINE))
    assert set(NightlyPlan.model_fields) - {"name", "folder"} <= set(re.findall(r"`(\w+)`", table))
