"""Trains the weights that the peers generate with: the short form of entities and search, by sentence.

    python -m benchmarks.comparison.writing_adapter --data corpora -o tuned
    python -m benchmarks.engines --notes notes.jsonl --peers-weights tuned --quality corpora

Weights without this training list hardly a mention, so the peers' speed could not be compared at equal
quality. Uses the LoRA, loop and corpora of the served adapter (training/), but learns generated answers:
entities from bc5cdr and maccrobat, search from these and ncbi_disease, from their training halves only. Runs
on a CUDA device if there is one (1,026 steps took five minutes of an H200), else on the CPU (280 steps, half
of the examples, took nearly an hour). A run that was stopped resumes.
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
from training.examples.generation_examples import GenerationSequences
from training.examples.task_examples import LABELS_OF, read_corpus, search_examples
from training.examples.training_sequences import TrainingSequence
from training.finetune.checkpoints import Checkpoints
from training.finetune.lora_model import optimizer_of, save_adapter, trainable
from training.finetune.merge_adapter import merge
from training.finetune.training_loop import TrainingRun, train
from training.finetune.training_recipe import load_recipe
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.tokenizer import load_chat
from worker.entities.attribute_patterns import PATTERN_KINDS
from worker.entities.list_grounding import ListItem
from worker.note.sentence_splitter import sentences
from worker.weights.model_files import prepared_folder

ENTITY_CORPORA, SEARCH_CORPORA = ("bc5cdr", "maccrobat"), ("bc5cdr", "maccrobat", "ncbi_disease")
SEARCHES = 2_500
"""Examples of search, half of them with an answering sentence."""


def main(options: argparse.Namespace) -> None:
    """Trains the adapter, then merges it into a folder that transformers loads."""
    torch.set_num_threads(options.threads)
    settings = load_settings()
    chat = load_chat(settings)
    recipe = load_recipe(
        None, settings.weights, rows_a_step=2, shares={}, max_steps=options.steps, epochs=options.epochs
    )
    names = [label.name for label in load_labels(settings.labels_file) if label.name not in PATTERN_KINDS]
    examples = corpus_examples(options.data, names, chat, recipe.window_characters)
    _report(f"{len(examples):,} examples of {sum(len(example.tokens) for example in examples):,} tokens")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = trainable(prepared_folder(settings), recipe, device)
    adapter = options.output.with_name(f"{options.output.name}-adapter")
    train(
        TrainingRun(
            network=network,
            optimizer=optimizer_of(network, recipe)[0],
            recipe=recipe,
            epoch=lambda number: random.Random(number).sample(examples, len(examples)),
            validation=(),
            checkpoints=Checkpoints(adapter / "checkpoints", recipe.sha256),
            keep_best=lambda: None,
            say=_report,
        )
    )
    save_adapter(network, adapter)
    merge(prepared_folder(settings), adapter, options.output, _report)


def corpus_examples(
    data: Path, names: Sequence[str], chat: Chat, window_characters: int
) -> list[TrainingSequence]:
    """All training examples, in the order of the corpora."""
    asked: list[tuple[str, BenchmarkPrompt, str]] = []
    for corpus in ENTITY_CORPORA:
        records = read_corpus(data, corpus, "train")
        asked += [("entities", *example) for example in _entity_examples(corpus, records, names)]
    searches = [
        example for corpus in SEARCH_CORPORA for example in _search_examples(data, corpus, window_characters)
    ]
    asked += [("search", *example) for example in _balanced(searches)]
    made = GenerationSequences(chat)
    examples = [made.of(prompt.prompt, prompt.lark, answer, kind) for kind, prompt, answer in asked]
    _report(f"left out: {dict(made.refused) or 'none'}")
    return [example for example in examples if example is not None]


def _entity_examples(
    corpus: str, records: Sequence[dict[str, Any]], names: Sequence[str]
) -> Iterator[tuple[BenchmarkPrompt, str]]:
    label_names = LABELS_OF[corpus]
    label_list = [name for name in names if name in label_names.values()]
    for record in records:
        for span in sentences(record["text"]):
            mentions = [
                ListItem(label_names[entity["label"]], record["text"][entity["start"] : entity["end"]])
                for entity in sorted(record["entities"], key=lambda entity: int(entity["start"]))
                if label_names.get(entity["label"]) in label_list
                and span.start <= entity["start"]
                and entity["end"] <= span.end
            ]
            unique = sorted(dict.fromkeys(mentions), key=lambda item: label_list.index(item.label))
            yield (
                entities_prompt(0, record["text"][span.start : span.end], label_list),
                entities_answer(unique),
            )


def _search_examples(
    data: Path, corpus: str, window_characters: int
) -> Iterator[tuple[BenchmarkPrompt, str]]:
    chance = random.Random(corpus)
    for example in search_examples(corpus, read_corpus(data, corpus, "train"), window_characters, chance):
        text = example.request.copy
        for span, is_hit in zip(sentences(text), example.is_relevant, strict=True):
            asked = search_prompt(0, text[span.start : span.end], example.query, "sentences")
            yield asked, " yes" if is_hit else " no"


def _balanced(searches: Sequence[tuple[BenchmarkPrompt, str]]) -> Iterator[tuple[BenchmarkPrompt, str]]:
    chance = random.Random(1)
    for answer in (" yes", " no"):
        of_answer = [example for example in searches if example[1] == answer]
        yield from chance.sample(of_answer, min(SEARCHES // 2, len(of_answer)))


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.comparison.writing_adapter",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder with the corpora, a folder each"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the merged weights"
    )
    parser.add_argument(
        "--epochs", type=int, default=1, metavar="N", help="passes over all examples (default: 1)"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="steps at most (default: the recipe's)")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="threads of torch (default: all)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main(_options())
