"""Settings, read once at process start into a frozen value. No other module reads the environment.

Order: environment (`NOTEMILL_…`), then `settings.toml` in the home folder, then the default.
An unknown name in either is an error, so that a misspelled setting is never ignored.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.errors import UsageError

PREFIX = "NOTEMILL_"
MIN_KEY_CHARACTERS = 16


class SettingsError(UsageError):
    """A setting is unknown or its value is not valid."""


class Settings(BaseSettings):
    """The effective settings of one process."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Path("~/.notemill")
    """Prepared weights, the default database, sockets and logs; created with mode 0700."""
    database_url: SecretStr = SecretStr("")
    """SQLAlchemy URL; empty: SQLite in the home folder."""
    redis_url: SecretStr = SecretStr("")
    """`redis://`, `rediss://` or `redis+socket://PATH`; empty: notemill starts a server itself."""
    archive_url: SecretStr = SecretStr("")
    """SQLAlchemy URL of the database that `notemill nightly` reads if its plan names none."""

    weights: str = "smollm2-135m"
    """`smollm2-135m`, `mistral-7b`, or a folder with weights and tokenizer."""
    engine: Literal["transformers", "http"] = "transformers"
    """`transformers` computes in the worker; `http` sends requests to an OpenAI-compatible server."""
    adapter: str = "auto"
    """A folder with a peft adapter for these weights; `auto`: the adapter shipped for them; `none`."""
    quantization: Literal["nf4", "none"] = "nf4"
    """`nf4`: 4 bits with double quantization, 8 bits on a CPU with an adapter; `none`: bf16 as stored."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    entities_form: Literal["auto", "list", "marks"] = "auto"
    """`marks` tags tokens, `list` generates; `auto`: `marks` if the adapter was trained for the labels."""
    summary_form: Literal["auto", "chosen", "written"] = "auto"
    """`chosen` is extractive, `written` abstractive; `auto`: `chosen` with an adapter that tags."""

    http_url: str = Field(default="http://127.0.0.1:8000/v1", pattern=r"^https?://[^@\s]+$")
    """The server's URL before `/completions` and `/models`."""
    http_may_leave_machine: bool = False
    """Allows an `http_url` on another machine; the text of notes is sent there."""
    http_deidentified: bool = False
    """Replaces names, dates and numbers of persons with surrogates before text is sent there."""
    http_key: SecretStr = SecretStr("")
    """The server's bearer token; empty: none."""
    http_model: str = ""
    """The server's name for the weights; other weights need another name."""
    http_grammar: Literal["lark", "json_schema"] = "lark"
    """`lark`: vLLM's guidance backend, or llama.cpp built with llguidance; `json_schema`: others."""
    http_concurrency: int = Field(default=32, ge=1, le=1_024)
    """Concurrent requests to the server."""

    max_batch_rows: int = Field(default=32, ge=1, le=512)
    """Sequences in one batch."""
    max_batch_tokens: int = Field(default=0, ge=0)
    """Cached tokens of all sequences in the batch together; 0: as many as fit in memory."""
    memory_gib: float = Field(default=0.0, ge=0)
    """GiB of device memory for a worker, weights included; 0: a GPU's free memory, or half of free RAM."""
    window_tokens: int = Field(default=350, ge=32)
    """The longest window of a note in one prompt for entities and search, in tokens."""
    summary_window_tokens: int = Field(default=1_500, ge=64)
    """The longest window for an abstractive summary, in tokens; longer notes are summarized in parts."""
    worker_threads: int = Field(default=16, ge=1, le=256)
    """Documents that a worker processes concurrently."""

    lease_seconds: float = Field(default=30.0, gt=0)
    """Duration of a claim without a heartbeat of its worker."""
    max_attempts: int = Field(default=3, ge=1)
    """Attempts of one job that may end in an unexpected exception before it fails."""
    max_kills: int = Field(default=3, ge=1)
    """Workers that may die on a job before it fails. After the first one the job runs alone, so that no
    other document is affected."""
    time_limit_seconds: float = Field(default=1_800.0, gt=0)
    """Time limit for all jobs of one document together."""
    stalled_seconds: float = Field(default=30.0, gt=0)
    """An idle worker exits if messages have waited so long and it takes none."""
    stop_seconds: float = Field(default=20.0, ge=0)
    """A stopping worker waits so long for its documents before it releases their jobs."""

    max_queue_messages: int = Field(default=100_000, ge=1)
    """Messages that may wait in Redis, about 0.8 kB each; above it, a producer slows down and sends none."""

    labels_file: Path | None = None
    """Entity labels instead of the built-in ones; `notemill labels` prints the format."""
    summary_words: int = Field(default=120, ge=20, le=2_000)
    """Approximate length of a summary in words."""
    metrics_address: str = Field(default="", pattern=r"^(\S+:\d{1,5})?$")
    """HOST:PORT at which a worker serves Prometheus metrics; empty: none."""
    view_token: SecretStr = SecretStr("")
    """The token for `notemill view` in a browser; empty: a new one at each start."""
    message_key: SecretStr = SecretStr("")
    """Shared by producers and workers; if set, workers refuse messages without its signature."""
    encryption_key: SecretStr = SecretStr("")
    """Master keys that encrypt text in the database, 32 bytes in base64 each, separated by spaces."""
    encryption_key_file: Path | None = None
    """A file with master keys, one a line: the first encrypts, the others only decrypt."""
    encryption_key_command: str = ""
    """A command that prints master keys, such as a key vault's; run without a shell at each start."""
    retention_days: int = Field(default=0, ge=0)
    """`purge --expired` erases documents that no run asked for in so many days; 0: it refuses."""
    actor: str = Field(default="", max_length=200)
    """The actor in the audit trail; empty: the operating system's user."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"
    """A worker's log: readable lines, or one JSON object a line."""
    traces_url: str = Field(default="", pattern=r"^(https?://[^@\s]+)?$")
    """OTLP receiver over HTTP for OpenTelemetry traces; empty: tracing is off."""

    @field_validator("message_key")
    @classmethod
    def _is_long_enough(cls, key: SecretStr) -> SecretStr:
        if 0 < len(key.get_secret_value()) < MIN_KEY_CHARACTERS:
            raise ValueError(f"at least {MIN_KEY_CHARACTERS} characters, e.g. of: openssl rand -hex 32")
        return key

    @property
    def home_folder(self) -> Path:
        return self.home.expanduser().absolute()

    @property
    def effective_database_url(self) -> str:
        return self.database_url.get_secret_value() or f"sqlite:///{self.home_folder / 'notemill.db'}"

    @property
    def is_redis_embedded(self) -> bool:
        return not self.redis_url.get_secret_value()


def load_settings() -> Settings:
    """The effective settings. Raises SettingsError, naming the setting and what to type."""
    return _validated(_from_file())


def as_environment(settings: Settings) -> dict[str, str]:
    """The environment that gives a child process exactly these settings, secrets included."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is not None:
            plain = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            others[PREFIX + name.upper()] = plain
    return others


def where_from(settings: Settings) -> dict[str, str]:
    """The source of each setting: 'environment', the path of the settings file, or 'default'."""
    in_file = _from_file()
    path = str(_settings_path())
    return {
        name: "environment" if PREFIX + name.upper() in os.environ else path if name in in_file else "default"
        for name in type(settings).model_fields
    }


def _settings_path() -> Path:
    home = os.environ.get(PREFIX + "HOME") or str(Settings.model_fields["home"].default)
    return Path(home).expanduser() / "settings.toml"


def _from_file() -> dict[str, Any]:
    path = _settings_path()
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not readable TOML: {error}") from None


def _validated(in_file: dict[str, Any]) -> Settings:
    names = set(Settings.model_fields)
    given = {name.removeprefix(PREFIX).lower(): name for name in os.environ if name.startswith(PREFIX)}
    for name, shown in [*given.items(), *((name, name) for name in in_file)]:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            meant = f"; did you mean {PREFIX}{close[0].upper()}?" if close else ""
            raise SettingsError(f"unknown setting {shown}{meant} `notemill config` lists them all.")
    try:
        return Settings(**{name: value for name, value in in_file.items() if name not in given})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        raise SettingsError(f"setting {PREFIX}{name.upper()}: {first['msg']}") from None
