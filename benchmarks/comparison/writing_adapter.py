"""Weights tuned to write the peers' short form sentence by sentence: what a user of theirs would train.

    python -m benchmarks.comparison.writing_adapter --data ../shared/data -o /tmp/tuned
    python -m benchmarks.engines --notes notes.jsonl --peers-weights /tmp/tuned --quality ../shared/data

Untuned weights list hardly a mention, so no speed of theirs is at equal quality. The same LoRA, loop and
corpora as the served adapter's (training/), but what is learnt is written: entities of bc5cdr and maccrobat,
search of these and ncbi_disease, of their training halves only. On a CUDA device where there is one (1,026
steps took five minutes of an H200), else on the processor (280 steps, half of the examples, took nearly an
hour); what was stopped goes on.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.comparison.short_answers import entities_answer, entities_prompt, search_prompt
from benchmarks.comparison.workload import BenchmarkPrompt
from models.labels import load_labels
from models.settings import load_settings
from training.examples.generation_examples import WrittenPieces
from training.examples.task_examples import LABELS_OF, read_corpus, search_examples
from training.examples.training_sequences import Piece
from training.finetune.checkpoints import Checkpoints
from training.finetune.lora_model import optimizer_of, save_adapter, trainable
from training.finetune.merge_adapter import merge
from training.finetune.training_loop import Run, train
from training.finetune.training_recipe import load_recipe
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.tokenizer import load_chat
from worker.entities.entity_task import PATTERNED
from worker.entities.list_grounding import Item
from worker.note.sentence_splitter import sentences
from worker.weights.model_files import prepared_folder

ENTITY_CORPORA, SEARCH_CORPORA = ("bc5cdr", "maccrobat"), ("bc5cdr", "maccrobat", "ncbi_disease")
SEARCHES = 2_500
"""Sentences that a query is put to, half of which answer it."""


def main(options: argparse.Namespace) -> None:
    """Trains, then merges into a folder that transformers loads."""
    torch.set_num_threads(options.threads)
    settings = load_settings()
    chat = load_chat(settings)
    recipe = load_recipe(
        None, settings.weights, rows_a_step=2, shares={}, max_steps=options.steps, epochs=options.epochs
    )
    names = [one.name for one in load_labels(settings.labels_file) if one.name not in PATTERNED]
    pieces = corpus_examples(options.data, names, chat, recipe.window_characters)
    _tell(f"{len(pieces):,} examples of {sum(len(one.tokens) for one in pieces):,} tokens")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = trainable(prepared_folder(settings), recipe, device)
    adapter = options.output.with_name(f"{options.output.name}-adapter")
    train(
        Run(
            network=network,
            optimizer=optimizer_of(network, recipe)[0],
            recipe=recipe,
            epoch=lambda number: random.Random(number).sample(pieces, len(pieces)),
            validation=(),
            checkpoints=Checkpoints(adapter / "checkpoints", recipe.sha256),
            keep_best=lambda: None,
            say=_tell,
        )
    )
    save_adapter(network, adapter)
    merge(prepared_folder(settings), adapter, options.output, _tell)


def corpus_examples(data: Path, names: Sequence[str], chat: Chat, window_characters: int) -> list[Piece]:
    """All examples, in the order of the corpora."""
    asked: list[tuple[str, BenchmarkPrompt, str]] = []
    for corpus in ENTITY_CORPORA:
        records = read_corpus(data, corpus, "train")
        asked += [("entities", *one) for one in _lists(corpus, records, names)]
    searched = [one for corpus in SEARCH_CORPORA for one in _searches(data, corpus, window_characters)]
    asked += [("search", *one) for one in _balanced(searched)]
    made = WrittenPieces(chat)
    pieces = [made.of(one.prompt, one.lark, answer, kind) for kind, one, answer in asked]
    _tell(f"left out: {dict(made.refused) or 'none'}")
    return [piece for piece in pieces if piece is not None]


def _lists(
    corpus: str, records: Sequence[dict[str, Any]], names: Sequence[str]
) -> Iterator[tuple[BenchmarkPrompt, str]]:
    here = LABELS_OF[corpus]
    listed = [one for one in names if one in here.values()]
    for record in records:
        for span in sentences(record["text"]):
            mentions = [
                Item(here[one["label"]], record["text"][one["start"] : one["end"]])
                for one in sorted(record["entities"], key=lambda one: int(one["start"]))
                if here.get(one["label"]) in listed and span.start <= one["start"] and one["end"] <= span.end
            ]
            each_once = sorted(dict.fromkeys(mentions), key=lambda one: listed.index(one.label))
            yield (
                entities_prompt(0, record["text"][span.start : span.end], listed),
                entities_answer(each_once),
            )


def _searches(data: Path, corpus: str, window_characters: int) -> Iterator[tuple[BenchmarkPrompt, str]]:
    chance = random.Random(corpus)
    for example in search_examples(corpus, read_corpus(data, corpus, "train"), window_characters, chance):
        text = example.request.copy
        for span, is_hit in zip(sentences(text), example.is_relevant, strict=True):
            asked = search_prompt(0, text[span.start : span.end], example.query, "sentences")
            yield asked, " yes" if is_hit else " no"


def _balanced(searched: Sequence[tuple[BenchmarkPrompt, str]]) -> Iterator[tuple[BenchmarkPrompt, str]]:
    chance = random.Random(1)
    for answer in (" yes", " no"):
        some = [one for one in searched if one[1] == answer]
        yield from chance.sample(some, min(SEARCHES // 2, len(some)))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.comparison.writing_adapter",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="corpora, a folder each")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="weights, merged")
    parser.add_argument("--epochs", type=int, default=1, metavar="N", help="times all examples (1)")
    parser.add_argument("--steps", type=int, metavar="N", help="at most (the recipe's)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch (all)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(_options())
