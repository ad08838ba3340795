"""The tokenizer of the weights alone, for those who count tokens and compute nothing."""

from __future__ import annotations

import hashlib
from typing import Any

from models.settings import Settings
from worker.engine.prompting.chat_template import Chat
from worker.weights.model_files import WeightsError, prepared_folder


def load_tokenizer(settings: Settings) -> Any:
    """Raises WeightsError where the weights are not prepared, or have none."""
    folder = prepared_folder(settings)
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError):
        raise WeightsError(
            f"{folder} has no tokenizer that transformers can read: put the weights' tokenizer.json and"
            " tokenizer_config.json beside its config.json"
        ) from None


def load_chat(settings: Settings) -> Chat:
    """Prompts as the engine encodes them. Raises WeightsError as `load_tokenizer`."""
    return Chat(load_tokenizer(settings))


def tokenizer_sha256(settings: Settings) -> str:
    """Identity of the tokenizer and its chat format. Raises WeightsError where they are not prepared."""
    whole = hashlib.sha256()
    for path in sorted(prepared_folder(settings).iterdir()):
        is_tokenizer = path.name.startswith(("tokenizer", "special_tokens", "chat_template"))
        if is_tokenizer and path.suffix in {".json", ".jinja", ".model"}:
            whole.update(f"{path.name}:{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()
