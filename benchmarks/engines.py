"""Speed of notemill's engine and of its peers on the same notes, weights and tasks, in alternating rounds.

    python -m benchmarks.engines --notes notes.jsonl --limit 4 --rounds 3 --json
    python -m benchmarks.engines --notes notes.jsonl --only ours,static --questions no

The first table gives every engine the same prompts. The second asks the same questions, and each engine
answers in its fastest form: notemill scores, the peers generate. The peers use the plain weights or those
with the adapter merged, whichever answers better; --peers-weights names weights that are trained for it,
which answer best (benchmarks.comparison.writing_adapter).

The naive loop takes minutes a note on a laptop; leave it out with --only while trying. Loading, tuning and
warm-up are not timed; tokenization and grammars are, for every engine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
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
"""Requests at most that a peer's options are tuned on."""


def main(options: argparse.Namespace) -> dict[str, Any]:
    """Figures of both tables."""
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
    prompts = generation_prompts(texts, loaded.chat, settings)
    makers: dict[str, Callable[[], Contender]] = {
        "ours": partial(NotemillGeneration, settings),
        "naive": partial(NaiveLoop, plain),
        "static": partial(StaticBatches, plain),
        "continuous": partial(_continuous, plain),
        "llama.cpp": partial(LlamaCppServer, plain, scratch, files=SAME_VALUES, threads=options.threads),
    }
    contenders = {name: partial(ContenderProcess, makers[name], options.threads) for name in options.only}
    runs = compare_in_rounds(contenders, prompts, prompts[::3][:SAMPLE], options.rounds)
    agreements = {}
    if "naive" in runs and runs["naive"].answers:
        rounding = RoundingCheck(loaded.network, loaded.chat)
        agreements = {
            name: measure_agreement(prompts, run.answers, runs["naive"].answers, rounding)
            for name, run in runs.items()
            if run.answers
        }
    return comparison_figures(runs, len(texts), len(prompts), agreements)


def _same_questions(
    options: argparse.Namespace,
    settings: Settings,
    texts: Sequence[str],
    plain: Path,
    scratch: Path,
    same_prompts: dict[str, Any],
) -> dict[str, Any]:
    """notemill scores; the peers generate, with the weights and the text unit that answer best.

    `same_prompts`: figures of the first table, whose tuning of llama.cpp is taken over.
    """
    loaded = TransformersModel.of(plain)
    folder, unit, quality_by_form = _best_form(options, settings, plain, scratch)
    prompts = short_form_prompts(texts, loaded.chat, settings, unit)
    start = same_prompts.get("llama.cpp", {}).get("tuning")
    files = (start["file"] if start else SAME_VALUES[0], *FEWER_BITS)
    makers: dict[str, Callable[[], Contender]] = {
        "ours": partial(NotemillPipeline, settings, texts),
        "static": partial(StaticBatches, folder),
        "continuous": partial(_continuous, folder),
        "llama.cpp": partial(
            LlamaCppServer, folder, scratch, files=files, threads=options.threads, start=start
        ),
    }
    contenders = {
        name: partial(ContenderProcess, makers[name], options.threads)
        for name in options.only
        if name in makers
    }
    qualities: dict[str, answer_quality.AnswerQuality] = {}

    def measure(name: str, contender: ContenderProcess) -> None:
        if options.quality is not None:
            data: dict[str, Any] = {
                "settings": settings,
                "data": options.quality,
                "limit": options.quality_limit,
            }
            qualities[name] = contender.call(
                partial(answer_quality.pipeline_quality, **data)
                if name == "ours"
                else partial(answer_quality.generated_quality, unit=unit, **data)
            )

    runs = compare_in_rounds(contenders, prompts, prompts[:SAMPLE], options.rounds, at_end=measure)
    figures = comparison_figures(runs, len(texts), len(prompts), {}, qualities)
    peers_form = {"weights": folder.name, "pieces": unit, "quality_by_form": quality_by_form}
    return {
        "questions": figures | peers_form,
        "questions_ratio_to_best_peer": figures["ratio_to_best_peer"],
    }


def _best_form(
    options: argparse.Namespace, settings: Settings, plain: Path, scratch: Path
) -> tuple[Path, TextUnit, dict[str, Any]]:
    """Weights and text unit that answer best on dev data, or the fastest when --quality is not given."""
    tuned: Path | None = options.peers_weights
    if options.quality is None:
        return (tuned, "sentences", {}) if tuned else (plain, "windows", {})
    measured: dict[tuple[Path, TextUnit], answer_quality.AnswerQuality] = {}
    for folder in [tuned] if tuned else [plain, save_merged(settings, plain, scratch / "merged")]:
        peer = StaticBatches(folder)
        peer.load()
        for unit in get_args(TextUnit):
            measured[folder, unit] = answer_quality.generated_quality(
                peer, settings=settings, data=options.quality, limit=options.quality_limit, unit=unit
            )
        peer.close()
    folder, unit = max(measured, key=lambda form: measured[form].entities_f1 + measured[form].search_f1)
    by_form = {
        f"{weights.name}, {of_unit}": asdict(quality) for (weights, of_unit), quality in measured.items()
    }
    return folder, unit, by_form


def _continuous(folder: Path) -> Contender:
    """Imports late, because not every version of transformers has continuous batching."""
    from benchmarks.peers.continuous_batching import ContinuousBatching

    return ContinuousBatching(folder)


def _names(given: str) -> list[str]:
    names = given.split(",")
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"unknown engine: {', '.join(unknown)}; choose from {', '.join(NAMES)}"
        )
    return names


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--notes", type=Path, required=True, help="JSON lines with a field `text`")
    parser.add_argument("--limit", type=int, default=4, help="notes from the start of the file (default: 4)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="alternating rounds; the median counts (default: 3)"
    )
    parser.add_argument(
        "--only", type=_names, default=list(NAMES), help=f"engines out of {','.join(NAMES)} (default: all)"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of each engine")
    parser.add_argument(
        "--questions",
        choices=("yes", "no", "only"),
        default="yes",
        help="whether to measure the second table, or only that",
    )
    parser.add_argument(
        "--peers-weights",
        type=Path,
        metavar="DIR",
        help="weights of the peers in the second table, trained for it",
    )
    parser.add_argument(
        "--quality", type=Path, metavar="DIR", help="folder with the corpora bc5cdr/ and ncbi_disease/"
    )
    parser.add_argument("--quality-limit", type=int, default=20, help="records of each corpus (default: 20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = _options()
    figures = main(given)
    print(comparison_tables(figures))
    if given.json:
        print(json.dumps(figures))
    sys.stdout.flush()
