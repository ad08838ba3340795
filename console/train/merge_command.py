"""`notemill train merge`: merges an adapter into its weights, for servers without adapters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from console.terminal.terminal import stderr, stdout
from models.security.training_provenance import record_trained_folder
from models.settings import load_settings
from worker.weights.model_files import prepared_folder

if TYPE_CHECKING:
    from training.finetune.gguf_files import FileType


def merge_adapter(adapter: Path, output: Path, weights: str | None, gguf: FileType | None) -> int:
    """Prints the folder. Raises NotemillError."""
    from training.finetune.merge_adapter import merge

    settings = load_settings()
    settings = settings.model_copy(update={"weights": weights} if weights else {})
    record_trained_folder(settings, output)
    console = stderr()
    merge(prepared_folder(settings), adapter, output, lambda step: console.print(step, soft_wrap=True), gguf)
    stdout().print(str(output), soft_wrap=True)
    return 0
