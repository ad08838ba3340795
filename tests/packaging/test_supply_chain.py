"""No unsafe practices in the code, and weights are loaded from safetensors only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("console", "models", "producer", "training", "worker")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize(
    ("practice", "pattern"),
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
def test_no_module_uses_an_unsafe_practice(practice: str, pattern: str) -> None:
    offenders = [path.name for path in SOURCES if re.search(pattern, path.read_text("utf-8"), re.MULTILINE)]
    assert offenders == [], practice


def test_every_load_of_a_network_names_safetensors() -> None:
    calls = []
    for path in SOURCES:
        text = path.read_text("utf-8")
        for match in re.finditer(r"AutoModelForCausalLM\.from_pretrained\(", text):
            call = text[match.start() : match.start() + 200]
            calls.append((path.name, "use_safetensors=True" in call or "gguf_file=" in call))
    assert calls
    assert [name for name, is_safe in calls if not is_safe] == []


def test_the_tree_holds_no_weights_in_unsafe_formats() -> None:
    unsafe = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.joblib")
    assert [path for package in PACKAGES for kind in unsafe for path in (ROOT / package).rglob(kind)] == []
