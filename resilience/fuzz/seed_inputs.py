"""Valid seed inputs: the examples of this repository, and generated files of other formats."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
from pathlib import Path

from models.messages import QUEUE_NAME, TASK_NAME
from resilience.fuzz.mutations import CANARY

ROOT = Path(__file__).parents[2]
_FORMATS = ROOT / "examples" / "formats"
WORD = CANARY.decode()
NOTE = f"{WORD} has chest pain.\nNo fever. Aspirin 81 mg daily.\n"
_ENTITY = {"start": 15, "end": 25, "text": "chest pain", "label": "problem"}


def of_file(*names: str) -> tuple[bytes, ...]:
    """Example files in which the canary replaces a common word."""
    return tuple((_FORMATS / name).read_bytes().replace(b"patient", CANARY) for name in names)


def text() -> tuple[bytes, ...]:
    notes = sorted((ROOT / "examples" / "notes").glob("*.txt"))
    return (NOTE.encode(), *(path.read_bytes()[:3_000] for path in notes))


def lines() -> tuple[bytes, ...]:
    rows = [{"note_id": str(number), "text": NOTE, "ward": {"a": [1.5, None]}} for number in range(3)]
    return (
        b"".join(json.dumps(row).encode() + b"\n" for row in rows),
        *of_file("DocumentReference.000.ndjson"),
    )


def delimited(separator: bytes) -> tuple[bytes, ...]:
    header = separator.join((b"note_id", b"text", b"charttime"))
    rows = [separator.join((b"%d" % number, b'"%s"' % NOTE.encode(), b"2024-01-02")) for number in range(4)]
    return (b"\r\n".join((header, *rows)), b"\n".join((header, *(row.replace(b'"', b"") for row in rows))))


def parquet() -> tuple[bytes, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = []
    for compression in ("none", "snappy"):
        buffer = io.BytesIO()
        columns = {"note_id": [1, 2, 3], "text": [NOTE] * 3, "ward": [{"a": 1.5}, None, {"a": 2.0}]}
        pq.write_table(pa.table(columns), buffer, compression=compression)
        made.append(buffer.getvalue())
    return tuple(made)


def training_parquet() -> tuple[bytes, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": [NOTE, "Well."], "entities": [[_ENTITY], []]}), buffer)
    return (buffer.getvalue(),)


def database(path: Path) -> tuple[bytes, ...]:
    """Bytes of a SQLite file with a table of notes."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (note_id INTEGER, text TEXT, at TIMESTAMP)")
    connection.executemany("INSERT INTO notes VALUES (?, ?, '2024-01-02')", [(n, NOTE) for n in range(40)])
    connection.commit()
    connection.close()
    return (path.read_bytes(),)


def settings() -> tuple[bytes, ...]:
    return (
        b'weights = "smollm2-135m"\nworker_threads = 4\nlease_seconds = 12.5\nactor = "eva"\n',
        b'http_url = "http://127.0.0.1:8000/v1"\nmessage_key = "0123456789abcdef0123"\nlog_level = "DEBUG"\n',
    )


def labels() -> tuple[bytes, ...]:
    ours = (ROOT / "models" / "labels.toml").read_bytes()
    return (ours, b'[finding]\ndefinition = "what was found"\n[size]\ndefinition = "how large"\n')


def plans() -> tuple[bytes, ...]:
    more = (
        b'sources = ["notes"]\ntasks = ["search"]\nsearches = ["fever?"]\nuntil = "06:00"\norder = "newest"\n'
    )
    return ((ROOT / "examples" / "nightly" / "plan.toml").read_bytes(), more + b'[[first]]\nward = "icu"\n')


def label_studio() -> tuple[bytes, ...]:
    value = {"start": 15, "end": 25, "text": "chest pain", "labels": ["problem"]}
    choice = {"id": "a", "value": {"choices": ["Negated"]}}
    done = {"result": [{"id": "a", "type": "labels", "value": value}, choice]}
    tasks = [{"id": 1, "data": {"text": NOTE, "document": "n-1"}, "annotations": [done]}]
    whole = (ROOT / "examples" / "annotated_label_studio.json").read_bytes()
    return (json.dumps(tasks).encode(), whole[:6_000], json.dumps(tasks[0]).encode())


def own_notes() -> tuple[bytes, ...]:
    note = {"id": "n-1", "document": "n-1", "text": NOTE, "entities": [_ENTITY], "relations": []}
    return (json.dumps(note).encode() + b"\n" + json.dumps(note | {"id": 2}).encode() + b"\n",)


def brat() -> tuple[bytes, ...]:
    return (b"T1\tproblem 15 25\tchest pain\nA1\tNegation T1\nR1\tof Arg1:T1 Arg2:T1\n#1\tNote T1\tsure\n",)


def training_rows() -> tuple[bytes, ...]:
    turns = "The conversation between human and AI assistant.\n[|Human|] What is gout?\n[|AI|] A disease.\n"
    rows = (
        {"topic": "gout", "input": turns + "[|Human|] "},
        {"chat_sample": "[INST] What is gout? [/INST] A disease.", "dataset_origin": "med"},
        {"text": NOTE, "entities": [_ENTITY]},
        {"sentence": "No fever.", "start": 3, "end": 8, "negation": "negated"},
        {"dialogue": "Doctor: hi", "section": "CC", "section_text": "Pain."},
        {"question": "What is gout?", "answer": "A disease."},
    )
    return tuple(json.dumps(row).encode() + b"\n" for row in rows) + tuple(map(_as_list, (rows, rows[:1])))


def _as_list(rows: object) -> bytes:
    return json.dumps(rows).encode()


def messages() -> tuple[bytes, ...]:
    """Queue entries as Celery writes them in both protocols, for a document that does not exist."""
    bodies = (
        [[], {"document_id": 10**9}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}],
        {"task": TASK_NAME, "id": "a", "args": [], "kwargs": {"document_id": 10**9}},
    )
    entries = []
    for body in bodies:
        entry = {
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": TASK_NAME, "id": "a", "retries": 0, "eta": None},
            "properties": {
                "correlation_id": "a",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": QUEUE_NAME},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": "b",
            },
        }
        entries.append(json.dumps(entry).encode())
    return tuple(entries)


def answers() -> tuple[bytes, ...]:
    """Answers of OpenAI-compatible servers in the formats of vLLM and llama.cpp."""
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    vllm = {"text": "a", "finish_reason": "stop", "logprobs": {"top_logprobs": [{"token_id:1": -0.1}]}}
    top_probs = [{"id": 1, "prob": 0.9}, {"id": 2, "prob": 0.1}]
    llama = {"text": "a", "finish_reason": "length", "logprobs": {"content": [{"top_probs": top_probs}]}}
    return tuple(json.dumps({"choices": [choice], "usage": usage}).encode() for choice in (vllm, llama))
