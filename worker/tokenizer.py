"""The tokenizer of the weights alone, for those who count tokens and compute nothing."""

from __future__ import annotations

from models.settings import Settings
from worker.chat import Chat
from worker.weights import prepared_folder


def load_chat(settings: Settings) -> Chat:
    """Prompts as the engine encodes them. Raises WeightsError where the weights are not prepared."""
    folder = prepared_folder(settings)
    from transformers import AutoTokenizer

    return Chat(AutoTokenizer.from_pretrained(folder))
