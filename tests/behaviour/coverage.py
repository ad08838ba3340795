"""Line coverage of the answer code by the probe set, measured in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

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


def measure() -> tuple[float, dict[str, list[int]]]:
    """Percent of the lines that the probes execute, and by file the numbers of the others."""
    with tempfile.TemporaryDirectory() as folder:
        data, report = Path(folder) / "data", Path(folder) / "report.json"
        command = [sys.executable, "-m", "coverage"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
        environment |= {"COVERAGE_FILE": str(data), "PYTHONPATH": str(ROOT), "COVERAGE_RCFILE": os.devnull}
        include = ",".join(ANSWER_CODE)
        for arguments in (
            ["run", f"--include={include}", "-m", "tests.behaviour.digest"],
            ["json", "--quiet", "-o", str(report)],
        ):
            subprocess.run([*command, *arguments], cwd=ROOT, env=environment, check=True, capture_output=True)
        measured = json.loads(report.read_text("utf-8"))
    missing = {
        name: file["missing_lines"] for name, file in measured["files"].items() if file["missing_lines"]
    }
    return float(measured["totals"]["percent_covered"]), missing


def show() -> int:
    """Prints the lines that no probe executes; 1 where coverage is below the floor."""
    percent, missing = measure()
    for name, lines in sorted(missing.items()):
        print(f"{name}: {', '.join(map(str, lines))}")
    print(f"{percent:.1f} % of the lines of the answer code are executed; the floor is {LEAST_PERCENT:g} %.")
    return int(percent < LEAST_PERCENT)
