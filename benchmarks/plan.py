"""Hours and cost of an archive: on this machine from measured rates, on 8 GB cards on paper.

    python -m benchmarks.plan --notes 1000000 --tokens 900
    python -m benchmarks.plan --notes 250000 --tokens 600 --cards 1 2 4 --watts 200 --eur-per-kwh 0.30
    python -m benchmarks.plan --rates engines.json --eur-per-hour 0.40

A note of --tokens tokens, made of the example notes, goes through the pipeline for entities, one search and
a summary: its windows, questions and second copies are counted as the worker sends them. Without --rates the
effective settings' weights (the embedded ones, if you set none) answer --sample such notes here and now, side
by side; what they take is the rate. --rates FILE takes `notes_per_hour` from the last line of what
`python -m benchmarks.engines --json` printed (ours where it names several) and scales it from the tokens a
note of those notes (--rates-tokens, or `tokens_a_note` in the file) to --tokens.

The card is arithmetic from public figures, not measured: an RTX 3060 Ti reads about 2,500 tokens a second of
an 8B network in 4 bits; its 448 GB/s of memory pass 3.85 GiB of weights 108 times a second, half of which is
assumed reached by one row, and bitsandbytes' NF4 makes 10 times as many tokens with 32 rows as with one.
Cards are taken to share nothing, so that N are N times as fast.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine.token_counts import CountingEngine, TokenCounts, answer_note, note_of_length
from models.settings import Settings, load_settings
from worker.engine.memory.footprint import nf4_bytes
from worker.engine.memory.model_shape import MISTRAL_7B, ModelShape
from worker.engine.prompting.tokenizer import load_chat

CARD_READ_RATE = 2_500.0
"""Tokens a second of prefill, RTX 3060 Ti, 8B in 4 bits; public reference, not measured."""
CARD_BYTES_A_SECOND = 448e9
"""Memory bandwidth of an RTX 3060 Ti (NVIDIA's data sheet)."""
CARD_BANDWIDTH_SHARE = 0.5
CARD_BATCH_GAIN = 10.0
"""bitsandbytes NF4 on Ada, 32 rows against one; public reference, not measured."""


@dataclass(frozen=True, slots=True)
class ArchiveEstimate:
    """One way to do the whole archive."""

    name: str
    is_measured: bool
    notes_per_hour: float
    hours: float
    eur: float | None
    """Of hiring and of electricity; none where neither price was given."""


def main(given: argparse.Namespace) -> int:
    settings = load_settings()
    if given.rates:
        here = _rate_of_file(given)
        counted, seconds = _counted(given, settings), 0.0
    else:
        counted, seconds = _measured(given, settings)
        here = 3_600 * counted.notes / seconds
    task_config = [_way("this machine", here, given, is_measured=True)]
    card = _card_rate(counted)
    task_config += [
        _way(f"{number} x 8 GB card", number * card, given, is_measured=False) for number in given.cards
    ]
    print(
        json.dumps(_result(counted, seconds, task_config, given))
        if given.json
        else _table(counted, seconds, task_config, given)
    )
    return 0


def _measured(given: argparse.Namespace, settings: Settings) -> tuple[TokenCounts, float]:
    """The effective settings' engine answers the sample, after one short note that warms it up."""
    from worker.engine.network.local_engine import load

    chat, behind = load_chat(settings), load(settings)
    try:
        answer_note(CountingEngine(chat, behind), note_of_length(chat, 60, number=0), settings)
        engine = CountingEngine(chat, behind)
        notes = [note_of_length(chat, given.tokens, number=number) for number in range(given.sample)]
        began = time.monotonic()
        with ThreadPoolExecutor(min(given.sample, settings.worker_threads)) as pool:
            list(pool.map(lambda text: answer_note(engine, text, settings), notes))
        return engine.counted, time.monotonic() - began
    finally:
        behind.close()


def _counted(given: argparse.Namespace, settings: Settings) -> TokenCounts:
    chat = load_chat(settings)
    engine = CountingEngine(chat)
    for number in range(given.sample):
        answer_note(engine, note_of_length(chat, given.tokens, number=number), settings)
    return engine.counted


def _rate_of_file(given: argparse.Namespace) -> float:
    """Notes an hour of the file, scaled by tokens a note. Exits with what is missing."""
    found = json.loads(given.rates.read_text("utf-8").strip().splitlines()[-1])
    rate = found.get("notes_per_hour")
    if isinstance(rate, dict):
        rate = next((rate[name] for name in ("ours", "notemill") if name in rate), None)
    tokens = given.rates_tokens or found.get("tokens_a_note")
    if not isinstance(rate, int | float) or not tokens:
        sys.exit(
            f"{given.rates} has no notes_per_hour of ours, or no tokens_a_note:"
            " measure again with `python -m benchmarks.engines --json`, or give --rates-tokens N"
        )
    return float(rate * tokens / given.tokens)


def _card_rate(counted: TokenCounts) -> float:
    """Notes an hour: seconds of reading plus seconds of writing, one after the other."""
    one_row = CARD_BYTES_A_SECOND / nf4_bytes(ModelShape.of(MISTRAL_7B)) * CARD_BANDWIDTH_SHARE
    seconds = counted.read_tokens / CARD_READ_RATE + counted.written_tokens / (one_row * CARD_BATCH_GAIN)
    return 3_600 * counted.notes / seconds


def _way(
    name: str, notes_per_hour: float, given: argparse.Namespace, *, is_measured: bool
) -> ArchiveEstimate:
    hours = given.notes / notes_per_hour
    # Cards side by side take the hours of one between them: hired and fed by the hour of each.
    machines = 1 if is_measured else int(name.split()[0])
    prices = [
        hours * machines * price
        for price in (given.eur_per_hour, given.eur_per_kwh * given.watts / 1_000)
        if price
    ]
    return ArchiveEstimate(
        name,
        is_measured,
        round(notes_per_hour, 1),
        round(hours, 2),
        round(sum(prices), 2) if prices else None,
    )


def _result(
    counted: TokenCounts, seconds: float, task_config: list[ArchiveEstimate], given: argparse.Namespace
) -> dict[str, Any]:
    return {
        "notes": given.notes,
        "tokens": given.tokens,
        **_a_note(counted),
        "read_tokens_per_second": round(counted.read_tokens / seconds, 1) if seconds else None,
        "hours": task_config[0].hours,
        "hours_on_one_card": next((way.hours for way in task_config if way.name.startswith("1 x")), None),
        "ways": [asdict(way) for way in task_config],
    }


def _a_note(counted: TokenCounts) -> dict[str, float]:
    return {
        f"{name}_a_note": round(getattr(counted, name) / counted.notes, 1)
        for name in ("read_tokens", "document_tokens", "written_tokens", "requests")
    }


def _table(
    counted: TokenCounts, seconds: float, task_config: list[ArchiveEstimate], given: argparse.Namespace
) -> str:
    each = _a_note(counted)
    lines = [
        f"{given.notes:,} notes of {given.tokens:,} tokens: entities, one search, a summary",
        f"A note: {each['requests_a_note']:g} questions on its windows,"
        f" {each['read_tokens_a_note']:,.0f} tokens read"
        f" ({each['document_tokens_a_note']:,.0f} of them the windows themselves),"
        f" {each['written_tokens_a_note']:,.0f} written",
    ]
    if seconds:
        rate = counted.read_tokens / seconds
        lines.append(
            f"Measured now: {counted.notes} notes in {seconds:.1f} s, {rate:,.0f} tokens read a second"
        )
    lines += ["", f"  {'':<18}{'notes an hour':>14}{'hours':>12}{'days':>9}{'EUR':>12}"]
    for way in task_config:
        eur = "–" if way.eur is None else f"{way.eur:,.2f}"
        note = "" if way.is_measured else "   on paper, not measured"
        pace = f"{way.notes_per_hour:>14,.0f}{way.hours:>12,.1f}{way.hours / 24:>9,.1f}"
        lines.append(f"  {way.name:<18}{pace}{eur:>12}{note}")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.plan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--notes", type=int, default=1_000_000, help="in the archive (1,000,000)")
    options.add_argument("--tokens", type=int, default=900, help="of a note (900)")
    options.add_argument("--sample", type=int, default=4, metavar="N", help="notes to count or measure (4)")
    options.add_argument("--rates", type=Path, metavar="FILE", help="what benchmarks.engines --json printed")
    options.add_argument("--rates-tokens", type=int, metavar="N", help="tokens a note of those notes")
    options.add_argument("--cards", type=int, nargs="+", default=[1, 2, 4], metavar="N", help="(1 2 4)")
    options.add_argument("--eur-per-hour", type=float, default=0.0, help="of a machine or card, hired")
    options.add_argument("--watts", type=float, default=0.0, help="that a machine or card takes")
    options.add_argument("--eur-per-kwh", type=float, default=0.0, help="of electricity")
    options.add_argument("--json", action="store_true", help="one object on the last line instead of a table")
    return options


if __name__ == "__main__":
    sys.exit(main(parser().parse_args()))
