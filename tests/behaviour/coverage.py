"""Line coverage of the answer code by the probe set, measured in a process with its own hash seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
ANSWER_CODE = (
    "worker/note/*",
    "worker/entities/*",
    "worker/search/*",
    "worker/summary/*",
    "worker/privacy/*",
    "worker/pipeline.py",
    "worker/engine/output_formats.py",
    "worker/engine/http/completions.py",
    "worker/engine/prompting/label_words.py",
    "worker/engine/prompting/prompt_templates.py",
    "worker/weights/negation_model.py",
    "worker/weights/ranking_model.py",
)
"""The code that the digest covers. Code that only training or the real engine uses is left out."""
LEAST_PERCENT = 95.0


class Measurement(NamedTuple):
    """The coverage of one run over the probe set, and the digests of that run."""

    percent: float
    missing: dict[str, list[int]]
    """By file, the numbers of the lines that no probe executes."""
    digests: dict[str, str]


def measure() -> Measurement:
    """Runs the probe set in a process whose sets have another order than ours."""
    with tempfile.TemporaryDirectory() as folder:
        data, report = Path(folder) / "data", Path(folder) / "report.json"
        command = [sys.executable, "-m", "coverage"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
        environment |= {"COVERAGE_FILE": str(data), "PYTHONPATH": str(ROOT), "COVERAGE_RCFILE": os.devnull}
        environment["PYTHONHASHSEED"] = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
        include = ",".join(ANSWER_CODE)
        digests, _ = (
            subprocess.run(
                [*command, *arguments], cwd=ROOT, env=environment, check=True, capture_output=True
            ).stdout
            for arguments in (
                ["run", f"--include={include}", "-m", "tests.behaviour.digest"],
                ["json", "--quiet", "-o", str(report)],
            )
        )
        measured = json.loads(report.read_text("utf-8"))
    missing = {
        name: file["missing_lines"] for name, file in measured["files"].items() if file["missing_lines"]
    }
    return Measurement(float(measured["totals"]["percent_covered"]), missing, json.loads(digests))


def show() -> int:
    """Prints the lines that no probe executes; 1 where coverage is below the floor."""
    percent, missing, _ = measure()
    for name, lines in sorted(missing.items()):
        print(f"{name}: {', '.join(map(str, lines))}")
    print(f"{percent:.1f} % of the lines of the answer code are executed; the floor is {LEAST_PERCENT:g} %.")
    return int(percent < LEAST_PERCENT)
