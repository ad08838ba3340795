"""Hours and cost of answering an archive: measured on this machine, calculated for 8 GB GPUs.

    python -m benchmarks.plan --notes 1000000 --tokens 900
    python -m benchmarks.plan --notes 250000 --tokens 600 --cards 1 2 4 --watts 200 --eur-per-kwh 0.30
    python -m benchmarks.plan --rates engines.json --eur-per-hour 0.40

Notes of --tokens tokens, made of the example notes, go through the pipeline for entities, one search and a
summary. Windows, questions and second copies are counted as the worker sends them. Without --rates the
weights of the effective settings (by default the embedded ones) answer --sample notes side by side, and their
time is the rate. --rates FILE takes `notes_per_hour` (`ours` if there are several) from the last line that
`python -m benchmarks.engines --json` printed. It is scaled to --tokens from the tokens a note in that run,
which are `tokens_a_note` in the file or --rates-tokens.

The GPU is calculated from public figures, not measured. An RTX 3060 Ti prefills about 2,500 tokens a second
of an 8B network in 4 bits. Its 448 GB/s of memory bandwidth pass 3.85 GiB of weights 108 times a second; one
row is assumed to reach half of that, and bitsandbytes NF4 generates 10 times as many tokens with 32 rows as
with one. N GPUs are assumed to be N times as fast.
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

CARD_PREFILL_TOKENS_A_SECOND = 2_500.0
"""RTX 3060 Ti, an 8B network in 4 bits; public reference, not measured."""
CARD_BYTES_A_SECOND = 448e9
"""Memory bandwidth of an RTX 3060 Ti (NVIDIA's data sheet)."""
CARD_BANDWIDTH_SHARE = 0.5
CARD_BATCH_GAIN = 10.0
"""Tokens of 32 rows over those of one row: bitsandbytes NF4 on Ada; public reference, not measured."""


@dataclass(frozen=True, slots=True)
class ArchiveEstimate:
    """Time and cost of the whole archive on one choice of hardware."""

    name: str
    is_measured: bool
    notes_per_hour: float
    hours: float
    eur: float | None
    """Rent and electricity; None when neither price is given."""


def main(given: argparse.Namespace) -> int:
    settings = load_settings()
    if given.rates:
        here = _rate_of_file(given)
        counted, seconds = _counted(given, settings), 0.0
    else:
        counted, seconds = _measured(given, settings)
        here = 3_600 * counted.notes / seconds
    estimates = [_estimate("this machine", here, given, is_measured=True)]
    card = _card_rate(counted)
    estimates += [
        _estimate(f"{number} x 8 GB card", number * card, given, is_measured=False) for number in given.cards
    ]
    print(
        json.dumps(_result(counted, seconds, estimates, given))
        if given.json
        else _table(counted, seconds, estimates, given)
    )
    return 0


def _measured(given: argparse.Namespace, settings: Settings) -> tuple[TokenCounts, float]:
    """Tokens and seconds of the sample with the effective settings' engine, after a warm-up note."""
    from worker.engine.network.local_engine import load

    chat, local_engine = load_chat(settings), load(settings)
    try:
        answer_note(CountingEngine(chat, local_engine), note_of_length(chat, 60, number=0), settings)
        engine = CountingEngine(chat, local_engine)
        notes = [note_of_length(chat, given.tokens, number=number) for number in range(given.sample)]
        began = time.monotonic()
        with ThreadPoolExecutor(min(given.sample, settings.worker_threads)) as pool:
            list(pool.map(lambda text: answer_note(engine, text, settings), notes))
        return engine.counted, time.monotonic() - began
    finally:
        local_engine.close()


def _counted(given: argparse.Namespace, settings: Settings) -> TokenCounts:
    chat = load_chat(settings)
    engine = CountingEngine(chat)
    for number in range(given.sample):
        answer_note(engine, note_of_length(chat, given.tokens, number=number), settings)
    return engine.counted


def _rate_of_file(given: argparse.Namespace) -> float:
    """Notes an hour from the file, scaled by tokens a note. Exits with a message when the file lacks them."""
    figures = json.loads(given.rates.read_text("utf-8").strip().splitlines()[-1])
    rate = figures.get("notes_per_hour")
    if isinstance(rate, dict):
        rate = next((rate[name] for name in ("ours", "notemill") if name in rate), None)
    tokens = given.rates_tokens or figures.get("tokens_a_note")
    if not isinstance(rate, int | float) or not tokens:
        sys.exit(
            f"{given.rates} has no notes_per_hour of notemill, or no tokens_a_note."
            " Measure again with `python -m benchmarks.engines --json`, or give --rates-tokens N."
        )
    return float(rate * tokens / given.tokens)


def _card_rate(counted: TokenCounts) -> float:
    """Notes an hour: seconds of prefill plus seconds of decoding."""
    one_row = CARD_BYTES_A_SECOND / nf4_bytes(ModelShape.of(MISTRAL_7B)) * CARD_BANDWIDTH_SHARE
    seconds = counted.read_tokens / CARD_PREFILL_TOKENS_A_SECOND + counted.written_tokens / (
        one_row * CARD_BATCH_GAIN
    )
    return 3_600 * counted.notes / seconds


def _estimate(
    name: str, notes_per_hour: float, given: argparse.Namespace, *, is_measured: bool
) -> ArchiveEstimate:
    hours = given.notes / notes_per_hour
    # Rent and electricity are paid for the hours of each card.
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
    counted: TokenCounts, seconds: float, estimates: list[ArchiveEstimate], given: argparse.Namespace
) -> dict[str, Any]:
    return {
        "notes": given.notes,
        "tokens": given.tokens,
        **_a_note(counted),
        "read_tokens_per_second": round(counted.read_tokens / seconds, 1) if seconds else None,
        "hours": estimates[0].hours,
        "hours_on_one_card": next((way.hours for way in estimates if way.name.startswith("1 x")), None),
        "ways": [asdict(way) for way in estimates],
    }


def _a_note(counted: TokenCounts) -> dict[str, float]:
    return {
        f"{name}_a_note": round(getattr(counted, name) / counted.notes, 1)
        for name in ("read_tokens", "document_tokens", "written_tokens", "requests")
    }


def _table(
    counted: TokenCounts, seconds: float, estimates: list[ArchiveEstimate], given: argparse.Namespace
) -> str:
    each = _a_note(counted)
    lines = [
        f"{given.notes:,} notes of {given.tokens:,} tokens: entities, one search, a summary",
        f"A note: {each['requests_a_note']:g} requests on its windows,"
        f" {each['read_tokens_a_note']:,.0f} tokens of prefill"
        f" ({each['document_tokens_a_note']:,.0f} of them the windows),"
        f" {each['written_tokens_a_note']:,.0f} generated",
    ]
    if seconds:
        rate = counted.read_tokens / seconds
        lines.append(
            f"Measured now: {counted.notes} notes in {seconds:.1f} s, {rate:,.0f} tokens of prefill a second"
        )
    lines += ["", f"  {'':<18}{'notes an hour':>14}{'hours':>12}{'days':>9}{'EUR':>12}"]
    for way in estimates:
        eur = "–" if way.eur is None else f"{way.eur:,.2f}"
        note = "" if way.is_measured else "   calculated, not measured"
        columns = f"{way.notes_per_hour:>14,.0f}{way.hours:>12,.1f}{way.hours / 24:>9,.1f}"
        lines.append(f"  {way.name:<18}{columns}{eur:>12}{note}")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.plan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument(
        "--notes", type=int, default=1_000_000, help="notes in the archive (default: 1,000,000)"
    )
    options.add_argument("--tokens", type=int, default=900, help="tokens of a note (default: 900)")
    options.add_argument(
        "--sample", type=int, default=4, metavar="N", help="notes to count or measure (default: 4)"
    )
    options.add_argument("--rates", type=Path, metavar="FILE", help="output of benchmarks.engines --json")
    options.add_argument("--rates-tokens", type=int, metavar="N", help="tokens a note in that run")
    options.add_argument(
        "--cards",
        type=int,
        nargs="+",
        default=[1, 2, 4],
        metavar="N",
        help="numbers of 8 GB GPUs (default: 1 2 4)",
    )
    options.add_argument("--eur-per-hour", type=float, default=0.0, help="rent of a machine or GPU")
    options.add_argument("--watts", type=float, default=0.0, help="power of a machine or GPU")
    options.add_argument("--eur-per-kwh", type=float, default=0.0, help="price of electricity")
    options.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return options


if __name__ == "__main__":
    sys.exit(main(parser().parse_args()))
