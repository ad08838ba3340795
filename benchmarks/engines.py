"""Our engine beside its peers, on the same notes, weights and tasks, in one run, round after round.

    python -m benchmarks.engines --notes notes.jsonl --limit 4 --rounds 3 --json
    python -m benchmarks.engines --notes notes.jsonl --only ours,static --questions no

In the second table the peers write with the plain weights or with the adapter merged, whichever answers
better; or with weights that were tuned to write it (benchmarks.comparison.writing_adapter), which answer best
of all.

The naive loop takes minutes a note on a laptop; leave it out with --only while trying. Loading, tuning and
warming up are outside of the measured time; tokenization and grammars are inside, for everyone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from transformers.utils import logging as transformers_logging

from benchmarks.comparison import answer_quality
from benchmarks.comparison.agreement import RoundingCheck, measure_agreement
from benchmarks.comparison.comparison_report import comparison_figures, comparison_tables, describe_machine
from benchmarks.comparison.plain_weights import save_merged, save_plain
from benchmarks.comparison.rounds import compare_in_rounds
from benchmarks.comparison.separate_process import ContenderProcess
from benchmarks.comparison.short_answers import TextUnit, short_form_prompts
from benchmarks.comparison.workload import Contender, generation_prompts, read_notes
from benchmarks.peers.llama_server import FEWER_BITS, SAME_VALUES, LlamaCppServer
from benchmarks.peers.naive_loop import NaiveLoop
from benchmarks.peers.notemill_engine import NotemillGeneration, NotemillPipeline
from benchmarks.peers.static_batches import StaticBatches
from benchmarks.peers.transformers_model import TransformersModel
from models.settings import Settings, load_settings

NAMES = ("ours", "naive", "static", "continuous", "llama.cpp")
SAMPLE = 48
"""Most requests that a choice is tried on."""


def main(options: argparse.Namespace) -> dict[str, Any]:
    """Both tables' figures."""
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    torch.set_num_threads(options.threads)
    settings, texts = load_settings(), read_notes(options.notes, options.limit)
    with tempfile.TemporaryDirectory(prefix="notemill-engines-") as folder:
        scratch = Path(folder)
        plain = save_plain(settings, scratch / "plain")
        prompts, questions = {}, {}
        if options.questions != "only":
            prompts = _same_prompts(options, settings, texts, plain, scratch)
        if options.questions != "no":
            tuned = prompts.get("engines", {})
            questions = _same_questions(options, settings, texts, plain, scratch, tuned)
    return (
        prompts
        | questions
        | {"notes": len(texts), "rounds": options.rounds, **describe_machine(options.threads)}
    )


def _same_prompts(
    options: argparse.Namespace, settings: Settings, texts: Sequence[str], plain: Path, scratch: Path
) -> dict[str, Any]:
    loaded = TransformersModel.of(plain)
    asked = generation_prompts(texts, loaded.chat, settings)
    makers = {
        "ours": partial(NotemillGeneration, settings),
        "naive": partial(NaiveLoop, plain),
        "static": partial(StaticBatches, plain),
        "continuous": partial(_continuous, plain),
        "llama.cpp": partial(LlamaCppServer, plain, scratch, files=SAME_VALUES, threads=options.threads),
    }
    chosen = {name: partial(ContenderProcess, makers[name], options.threads) for name in options.only}
    raced = compare_in_rounds(chosen, asked, asked[::3][:SAMPLE], options.rounds)
    agreed = {}
    if "naive" in raced and raced["naive"].answers:
        rounding = RoundingCheck(loaded.network, loaded.chat)
        agreed = {
            name: measure_agreement(asked, one.answers, raced["naive"].answers, rounding)
            for name, one in raced.items()
            if one.answers
        }
    return comparison_figures(raced, len(texts), len(asked), agreed)


def _same_questions(
    options: argparse.Namespace,
    settings: Settings,
    texts: Sequence[str],
    plain: Path,
    scratch: Path,
    before: dict[str, Any],
) -> dict[str, Any]:
    """Ours decides and chooses; the others write in the short form, weights and pieces, that answers best."""
    loaded = TransformersModel.of(plain)
    folder, pieces, of_forms = _best_form(options, settings, plain, scratch)
    asked = short_form_prompts(texts, loaded.chat, settings, pieces)
    start = before.get("llama.cpp", {}).get("tuning")
    files = (start["file"] if start else SAME_VALUES[0], *FEWER_BITS)
    makers = {
        "ours": partial(NotemillPipeline, settings, texts),
        "static": partial(StaticBatches, folder),
        "continuous": partial(_continuous, folder),
        "llama.cpp": partial(
            LlamaCppServer, folder, scratch, files=files, threads=options.threads, start=start
        ),
    }
    chosen = {
        name: partial(ContenderProcess, makers[name], options.threads)
        for name in options.only
        if name in makers
    }
    found: dict[str, answer_quality.AnswerQuality] = {}

    def measure(name: str, contender: ContenderProcess) -> None:
        if options.quality is not None:
            limit = options.quality_limit
            found[name] = contender.of(
                partial(
                    answer_quality.of_contender,
                    settings=settings,
                    data=options.quality,
                    limit=limit,
                    pieces=pieces,
                )
            )

    raced = compare_in_rounds(chosen, asked, asked[:SAMPLE], options.rounds, at_end=measure)
    answered = comparison_figures(raced, len(texts), len(asked), {}, found)
    peers_form = {"weights": folder.name, "pieces": pieces, "quality_by_form": of_forms}
    return {
        "questions": answered | peers_form,
        "questions_ratio_to_best_peer": answered["ratio_to_best_peer"],
    }


def _best_form(
    options: argparse.Namespace, settings: Settings, plain: Path, scratch: Path
) -> tuple[Path, TextUnit, dict[str, Any]]:
    """Weights and pieces that answer best on dev data; the fastest where that is not measured."""
    tuned: Path | None = options.peers_weights
    if options.quality is None:
        return (tuned, "sentences", {}) if tuned else (plain, "windows", {})
    measured: dict[tuple[Path, TextUnit], answer_quality.AnswerQuality] = {}
    for folder in [tuned] if tuned else [plain, save_merged(settings, plain, scratch / "merged")]:
        peer = StaticBatches(folder)
        peer.load()
        for pieces in get_args(TextUnit):
            measured[folder, pieces] = answer_quality.generated_quality(
                peer.answer, settings, options.quality, options.quality_limit, pieces
            )
        peer.close()
    folder, pieces = max(measured, key=lambda one: measured[one].entities_f1 + measured[one].search_f1)
    told = {f"{one.name}, {some}": asdict(found) for (one, some), found in measured.items()}
    return folder, pieces, told


def _continuous(folder: Path) -> Contender:
    """Imported late: the name is not in every transformers."""
    from benchmarks.peers.continuous_batching import ContinuousBatching

    return ContinuousBatching(folder)


def _names(given: str) -> list[str]:
    names = given.split(",")
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return names


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--notes", type=Path, required=True, help="JSON lines with a field `text`")
    parser.add_argument("--limit", type=int, default=4, help="notes, the first of the file (default: 4)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="alternating rounds; medians count (default: 3)"
    )
    parser.add_argument("--only", type=_names, default=list(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="for everyone")
    parser.add_argument("--questions", choices=("yes", "no", "only"), default="yes", help="the second table")
    parser.add_argument(
        "--peers-weights",
        type=Path,
        metavar="DIR",
        help="what the second table's peers write with, tuned to it",
    )
    parser.add_argument("--quality", type=Path, metavar="DIR", help="corpora: bc5cdr/ and ncbi_disease/")
    parser.add_argument("--quality-limit", type=int, default=20, help="records of each (default: 20)")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = _options()
    figures = main(given)
    print(comparison_tables(figures))
    if given.json:
        print(json.dumps(figures))
    sys.stdout.flush()
