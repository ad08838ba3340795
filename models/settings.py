"""Every setting, read once at the edge into a frozen value. The only reader of the environment.

Order: environment (`NOTEMILL_…`), then `settings.toml` in the home folder, then the default.
An unknown name in either is an error, so that a typing mistake is never a silent default.
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
    """A setting is unknown or has a value that cannot be used."""


class Settings(BaseSettings):
    """The effective settings of one process."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Path("~/.notemill")
    """Prepared weights, the default database, sockets and logs; created with mode 0700."""
    database_url: SecretStr = SecretStr("")
    """SQLAlchemy URL; empty: SQLite in the home folder."""
    redis_url: SecretStr = SecretStr("")
    """`redis://`, `rediss://` or `redis+socket://PATH`; empty: a server that notemill starts itself."""
    archive_url: SecretStr = SecretStr("")
    """SQLAlchemy URL of the database that `notemill nightly` reads where its plan names none."""

    weights: str = "smollm2-135m"
    """`smollm2-135m`, `mistral-7b`, or a folder with weights and tokenizer."""
    engine: Literal["transformers", "http"] = "transformers"
    """`transformers` computes in the worker; `http` asks a server of the OpenAI-compatible API."""
    adapter: str = "auto"
    """A folder with a peft adapter for these weights; `auto`: the one that comes with them; `none`."""
    quantization: Literal["nf4", "none"] = "nf4"
    """`nf4`: 4 bits a weight with double quantization, on a CPU with an adapter 8; `none`: bf16 as stored."""
    device: Literal["auto", "cuda", "cpu"] = "auto"
    entities_form: Literal["auto", "list", "marks"] = "auto"
    """`marks` decides, `list` writes; `auto`: marks where the adapter was trained for the labels."""
    summary_form: Literal["auto", "chosen", "written"] = "auto"
    """`chosen` takes the note's own words, `written` writes; `auto`: chosen where an adapter marks."""

    http_url: str = Field(default="http://127.0.0.1:8000/v1", pattern=r"^https?://[^@\s]+$")
    """Of the server; the part before `/completions` and `/models`."""
    http_may_leave_machine: bool = False
    """`http_url` may name another machine: the text of notes goes there."""
    http_deidentified: bool = False
    """What looks like a name, a date or a number of a person is replaced before it goes there."""
    http_key: SecretStr = SecretStr("")
    """What the server wants as bearer token; empty: none."""
    http_model: str = ""
    """The name under which the server serves the weights; with other weights, another name."""
    http_grammar: Literal["lark", "json_schema"] = "lark"
    """`lark`: vLLM's guidance backend, or llama.cpp built with llguidance; `json_schema`: others."""
    http_concurrency: int = Field(default=32, ge=1, le=1_024)
    """Requests at the server at the same time."""

    max_batch_rows: int = Field(default=32, ge=1, le=512)
    """Sequences decoded side by side."""
    max_batch_tokens: int = Field(default=0, ge=0)
    """Cached tokens of all sequences in the batch together; 0: as many as memory affords."""
    memory_gib: float = Field(default=0.0, ge=0)
    """GiB a worker may take of its device, weights and all; 0: a GPU's free memory, half of free RAM."""
    window_tokens: int = Field(default=350, ge=32)
    """The longest piece of a note in one prompt for entities and search, in tokens."""
    summary_window_tokens: int = Field(default=1_500, ge=64)
    """The same for a written summary; a longer note is summarized in parts first."""
    worker_threads: int = Field(default=16, ge=1, le=256)
    """Documents in the worker at the same time."""

    lease_seconds: float = Field(default=30.0, gt=0)
    """How long a claimed job stays its worker's without a sign of life."""
    max_attempts: int = Field(default=3, ge=1)
    """Attempts of one job that may end in a surprise before it fails for good."""
    max_kills: int = Field(default=3, ge=1)
    """How often a worker may die with a job in its hands before the job fails for good. After the first
    time it runs alone, so that a document that kills takes no other along."""
    time_limit_seconds: float = Field(default=1_800.0, gt=0)
    """For one document, all its jobs together."""
    stalled_seconds: float = Field(default=30.0, gt=0)
    """How long messages may wait before a worker with free hands that takes none ends itself."""
    stop_seconds: float = Field(default=20.0, ge=0)
    """How long a stopping worker lets its documents finish before it gives their jobs back."""

    max_queue_messages: int = Field(default=100_000, ge=1)
    """Messages that may wait in Redis, about 0.8 kB each; a producer beyond it slows down and sends none."""

    labels_file: Path | None = None
    """Entity labels to use instead of the built-in ones; `notemill labels` prints the form."""
    summary_words: int = Field(default=120, ge=20, le=2_000)
    """About how long a summary may be."""
    metrics_address: str = Field(default="", pattern=r"^(\S+:\d{1,5})?$")
    """HOST:PORT on which a worker serves figures for Prometheus; empty: nowhere."""
    view_token: SecretStr = SecretStr("")
    """What lets a browser into the pages of `notemill view`; empty: another one each time."""
    message_key: SecretStr = SecretStr("")
    """Shared by producers and workers; where it is set, workers refuse messages that it did not sign."""
    encryption_key: SecretStr = SecretStr("")
    """Master keys to encrypt text in the database with, 32 bytes in base64 each; several by spaces."""
    encryption_key_file: Path | None = None
    """A file with them, a line each: the first encrypts, the others open what was encrypted before."""
    encryption_key_command: str = ""
    """A command that prints them, such as a key vault's; run without a shell at each start."""
    retention_days: int = Field(default=0, ge=0)
    """`purge --expired` erases what no run has asked for in so many days; 0: it refuses."""
    actor: str = Field(default="", max_length=200)
    """Who the audit trail says it was; empty: the operating system's user."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"
    """A worker's: lines to read, or a JSON object a line."""
    traces_url: str = Field(default="", pattern=r"^(https?://[^@\s]+)?$")
    """Where OpenTelemetry traces go, by OTLP over HTTP; empty: nowhere."""

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
    """The environment of a child process that shall have exactly these settings, secrets included."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is not None:
            plain = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            others[PREFIX + name.upper()] = plain
    return others


def where_from(settings: Settings) -> dict[str, str]:
    """For each setting: 'environment', the path of the settings file, or 'default'."""
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
    known = set(Settings.model_fields)
    given = {name.removeprefix(PREFIX).lower(): name for name in os.environ if name.startswith(PREFIX)}
    for name, shown in [*given.items(), *((name, name) for name in in_file)]:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"; did you mean {PREFIX}{close[0].upper()}?" if close else ""
            raise SettingsError(f"unknown setting {shown}{meant} `notemill config` lists them all.")
    try:
        return Settings(**{name: value for name, value in in_file.items() if name not in given})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        raise SettingsError(f"setting {PREFIX}{name.upper()}: {first['msg']}") from None
