"""No pickle, no code from weights, and the network's files as safetensors alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("console", "models", "producer", "training", "worker")
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("code that comes with weights", r"trust_remote_code\s*=\s*(?!False)"),
        ("pickle", r"^\s*(import|from) (pickle|cloudpickle|dill|joblib|shelve|marshal)\b"),
        ("torch.load of more than tensors", r"\btorch\.load\((?![^)]*weights_only=True)"),
        ("a shell", r"shell\s*=\s*True|os\.system\("),
        ("eval or exec", r"(?<![\w.])(eval|exec)\("),
        ("yaml that makes objects", r"yaml\.(load|unsafe_load)\("),
        ("a certificate that nobody checks", r"CERT_NONE|verify\s*=\s*False|check_hostname\s*=\s*False"),
    ],
)
def test_nothing_of_ours_uses(what: str, pattern: str) -> None:
    found = [path.name for path in SOURCES if re.search(pattern, path.read_text("utf-8"), re.MULTILINE)]
    assert found == [], what


def test_every_load_of_a_network_names_safetensors() -> None:
    calls = []
    for path in SOURCES:
        text = path.read_text("utf-8")
        for match in re.finditer(r"AutoModelForCausalLM\.from_pretrained\(", text):
            call = text[match.start() : match.start() + 200]
            calls.append((path.name, "use_safetensors=True" in call or "gguf_file=" in call))
    assert calls
    assert [name for name, is_safe in calls if not is_safe] == []


def test_no_weights_but_safetensors_are_in_the_tree() -> None:
    unsafe = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.joblib")
    assert [path for room in ROOMS for kind in unsafe for path in (ROOT / room).rglob(kind)] == []
