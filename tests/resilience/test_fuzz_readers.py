"""Any file gives records, refusals with fixed phrases, or one line for the operator; never a traceback.

FUZZ_EXAMPLES=1000 tries 1,000 inputs a test; the default is some dozens.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import subprocess
import sys
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from models.documents import Document
from models.errors import UsageError
from models.labels import load_labels
from models.settings import load_settings
from producer.sources.sources import open_sources

FUZZED = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SPECIAL_BYTES = st.sampled_from(
    rb"""\x00 \xff\xfe \xef\xbb\xbf \r \r\n " "" , \t { [ \\ \xed\xa0\x80 \x1f\x8b\x08 PAR1 NaN 1e999 \xc2\x85
    =cmd() \x1b[2J note_id,text\n </s>""".decode()
    .encode("latin-1")
    .split()
).map(lambda odd: odd.decode("unicode_escape").encode("latin-1"))
ROW = st.builds(lambda text: json.dumps({"id": 1, "text": text}).encode() + b"\n", st.text())
BYTES = st.lists(SPECIAL_BYTES | st.binary(max_size=30) | ROW, max_size=20).map(b"".join)
WORDS = "canary4711"
ENDINGS = (".txt", ".jsonl", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".csv.gz", ".txt.gz")


def usage_error(call: Callable[[], Any]) -> str:
    """The message of a UsageError; '' when there is none."""
    try:
        call()
    except UsageError as error:
        return str(error)
    return ""


def read(path: Path) -> list[Any]:
    """All records; none when there is a message for the operator."""
    records: list[Any] = []
    usage_error(lambda: records.extend(open_sources([path]).records))
    for record in records:
        assert isinstance(record, Document) or (len(record.reason) < 80 and WORDS not in record.reason)
    return records


@pytest.mark.parametrize("ending", ENDINGS)
@FUZZED
@given(content=BYTES, is_compressed=st.booleans())
def test_any_bytes_are_read_or_refused(
    ending: str, content: bytes, is_compressed: bool, tmp_path: Path
) -> None:
    path = tmp_path / f"notes{ending}"
    path.write_bytes(gzip.compress(content) if is_compressed else content)
    read(path)


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".tsv"])
@FUZZED
@given(noise=BYTES.filter(lambda noise: b"\n" not in noise and b'"' not in noise and b"\r" not in noise))
def test_a_bad_line_does_not_affect_other_lines(ending: str, noise: bytes, tmp_path: Path) -> None:
    between = {".csv": b"note_id,text\na,%s\n", ".tsv": b"note_id\ttext\na\t%s\n"}
    before = between.get(ending, b'{"note_id": "a", "text": "%s"}\n') % WORDS.encode()
    separator = {".csv": b",", ".tsv": b"\t"}.get(ending)
    after = b'{"note_id": "b", "text": "last"}\n' if separator is None else b"b" + separator + b"last\n"
    path = tmp_path / f"notes{ending}"
    path.write_bytes(before + noise.replace(b"\x1f\x8b\x08", b"") + b"\n" + after)
    texts = [record.text for record in read(path) if isinstance(record, Document)]
    assert texts[0] == WORDS
    assert texts[-1] == "last"


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**62), 2**62),
    st.floats(),
    st.booleans(),
    st.binary(max_size=9),
    st.text(max_size=9),
    st.datetimes(),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9),
    st.lists(st.integers(0, 9), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.text(max_size=3), min_size=1, max_size=2),
)


@FUZZED
@example(column=[datetime(2000, 1, 1), -62_135_596_800_000_001], name="ward")  # noqa: DTZ001
@given(column=st.lists(VALUES, min_size=1, max_size=4), name=st.sampled_from(["text", "id", "ward"]))
def test_any_column_of_parquet_is_read_or_refused(column: list[Any], name: str, tmp_path: Path) -> None:
    columns: dict[str, Any] = {"id": list(range(len(column))), "text": ["good"] * len(column), name: column}
    try:
        table = pa.table(columns)
    except (pa.ArrowException, OverflowError, ValueError):
        return  # mixed types: Arrow cannot write such a file
    path = tmp_path / "notes.parquet"
    pq.write_table(table, path)
    assert len(read(path)) in (len(column), 0)


@FUZZED
@example(cut=695, put=b"\x80")  # a column name that is not UTF-8
@given(cut=st.integers(0, 2_000), put=st.binary(max_size=8))
def test_a_damaged_parquet_file_is_refused(cut: int, put: bytes, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(50)), "text": [f"note {n}" for n in range(50)]}), buffer)
    content = buffer.getvalue()
    index = cut % len(content)
    path = tmp_path / "notes.parquet"
    path.write_bytes(content[:index] + put + content[index + len(put) :])
    read(path)


TOML = st.recursive(
    st.text(max_size=9) | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@FUZZED
@given(content=BYTES | st.dictionaries(st.text(max_size=9), TOML, max_size=3).map(lambda made: as_toml(made)))
def test_any_labels_file_is_loaded_or_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "labels.toml"
    path.write_bytes(content)
    message = usage_error(lambda: load_labels(path))
    assert not message or str(path) in message


@FUZZED
@given(content=BYTES | st.dictionaries(st.text(max_size=9), TOML, max_size=3).map(lambda made: as_toml(made)))
def test_any_settings_file_is_loaded_or_refused_in_one_line(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTEMILL_HOME", str(tmp_path))
    (tmp_path / "settings.toml").write_bytes(content)
    message = usage_error(load_settings)
    assert not message or "setting" in message


def as_toml(value: Any) -> bytes:
    """Nearly valid TOML, so that mostly the values are wrong and not the syntax."""
    lines = [f"{json.dumps(name)} = {json.dumps(inner)}" for name, inner in value.items()]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("ending", [".txt.gz", ".jsonl.gz", ".csv.gz"])
def test_a_gzip_bomb_is_refused_in_bounded_memory(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"bomb{ending}"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = b'note_id,text\n1,"' if ending == ".csv.gz" else b""
    with path.open("wb") as file:
        file.write(packer.compress(head))
        for _ in range(80):
            file.write(packer.compress(b"a" * 2**20))
        file.write(packer.flush())
    code = "import sys; from producer.sources.sources import open_sources;"
    code += "print([getattr(r, 'reason', '?') for r in open_sources([sys.argv[1]]).records])"
    limit = 700 * 2**20  # 300 MiB of it are mappings of pyarrow and Python
    finished = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    assert "longer than 64 MiB" in finished.stdout, finished.stderr[-500:]
