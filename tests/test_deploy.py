"""The Kubernetes manifests: what they run, set and ask for is there, with no right that is not needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine, text
from typer.main import get_command

from models.database import reading
from models.settings import PREFIX, Settings
from notemill import app

ROOT = Path(__file__).parents[1]
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
    with reading(engine) as connection:
        assert connection.scalar(text(trigger["metadata"]["query"])) == 0
    assert ("Deployment", scaler["scaleTargetRef"]["name"]) in BY_NAME
