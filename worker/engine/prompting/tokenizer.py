"""Loads the tokenizer of the weights, without the weights; imports transformers when it is called."""

from __future__ import annotations

import hashlib
from typing import Any

from models.settings import Settings
from worker.engine.prompting.chat_template import Chat
from worker.weights.model_files import WeightsError, prepared_folder


def load_tokenizer(settings: Settings) -> Any:
    """The tokenizer of the weights. Raises WeightsError if the weights are not prepared or have none."""
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
    """The chat template of the weights. Raises WeightsError as `load_tokenizer` does."""
    return Chat(load_tokenizer(settings))


def tokenizer_sha256(settings: Settings) -> str:
    """Digest of the tokenizer and its chat format. Raises WeightsError if the weights are not prepared."""
    digest = hashlib.sha256()
    for path in sorted(prepared_folder(settings).iterdir()):
        is_tokenizer = path.name.startswith(("tokenizer", "special_tokens", "chat_template"))
        if is_tokenizer and path.suffix in {".json", ".jinja", ".model"}:
            digest.update(f"{path.name}:{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
