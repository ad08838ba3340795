"""LoRA on the served weights for decided answers: `python -m training.finetune --data DIR --output DIR`.

The network is trained as it is served: its 4-bit weights, dequantized to bf16 and frozen (QLoRA,
arXiv 2305.14314). Only label words at decided places count. The learning rate falls with the time
budget, so that a run of any length ends trained; checkpoints on the way are whole adapters.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.labels import load_labels
from models.settings import load_settings
from training import packed_attention
from training.examples import Example, marks_examples, read_corpus, search_examples
from training.rows import Row, cost, rows_of
from training.section_examples import answer_examples, kind_examples, notes_of_parts, section_examples
from training.targets import Target, target_of
from worker.chat import Chat
from worker.decisions import MarkedLabel, marked_labels
from worker.weights import prepare

MAX_CHARACTERS = 1_300
"""A window's length; about 320 tokens of a clinical note."""
SHARES = {"maccrobat": 1.0, "bc5cdr": 1.0, "ncbi_disease": 0.7}
"""Of each corpus, in one pass."""
ROW_TOKENS = 2_304
"""Of a step, packed."""
PEAK_LEARNING_RATE = 5e-4


def main() -> None:
    """Reads the command line, trains, and writes the adapter with what made it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of annotated corpora")
    parser.add_argument("--output", type=Path, required=True, help="where the adapter goes")
    parser.add_argument("--minutes", type=float, default=75.0)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--start", type=Path, help="an adapter to go on from")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if options.threads:
        torch.set_num_threads(options.threads)
    chance = random.Random(options.seed)
    labels = marked_labels([label.name for label in load_labels()])
    folder = prepare(load_settings())
    chat = Chat(AutoTokenizer.from_pretrained(folder))
    network = trainable(folder, options.rank, options.start)
    rows = endless_rows(options.data, labels, chat, chance)
    train(network, rows, options.minutes * 60, lambda: save(network, options.output, labels))
    save(network, options.output, labels)


def endless_rows(
    data: Path, labels: Sequence[MarkedLabel], chat: Chat, chance: random.Random
) -> Iterator[Row]:
    """Rows of one pass over everything, in any order, and of the next, with other queries."""
    for epoch in count(1):
        documents: dict[tuple[int, ...], list[Target]] = {}
        for example in examples(data, labels, chance):
            target = target_of(example, chat, labels)
            documents.setdefault(target.beginning, []).append(target)
        mixed = [part for some in documents.values() for part in _parts(some)]
        chance.shuffle(mixed)
        rows = rows_of(mixed, ROW_TOKENS)
        print(f"pass {epoch}: {len(mixed)} documents, {len(rows)} rows of {ROW_TOKENS} tokens", flush=True)
        yield from rows


def _parts(targets: list[Target]) -> Iterator[list[Target]]:
    """A document's questions in as many parts as rows need."""
    part: list[Target] = []
    for target in targets:
        if part and cost([*part, target]) > ROW_TOKENS:
            yield part
            part = []
        part.append(target)
    yield part


def examples(data: Path, labels: Sequence[MarkedLabel], chance: random.Random) -> list[Example]:
    """Training halves only."""
    found = []
    for name, share in SHARES.items():
        records = read_corpus(data, name, "train")
        records = chance.sample(records, round(share * len(records)))
        found += marks_examples(name, records, labels, MAX_CHARACTERS)
        if name != "bc5cdr":
            found += search_examples(name, records, MAX_CHARACTERS, chance)
    notes = [record["note"] for record in read_corpus(data, "aci_bench", "train")]
    notes += notes_of_parts(read_corpus(data, "mts_dialog", "train"), 80, chance)
    found += kind_examples(notes, labels, MAX_CHARACTERS, chance)
    found += chance.sample(some := section_examples(notes, MAX_CHARACTERS, chance), len(some) // 2)
    found += answer_examples(read_corpus(data, "medquad", "qa"), 100, chance)
    return found


def trainable(folder: Path, rank: int, start: Path | None = None) -> Any:
    """The served network in bf16, frozen, with LoRA on every linear layer of its blocks."""
    network = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.bfloat16, attn_implementation=packed_attention.NAME
    )
    if getattr(network, "is_quantized", False):
        network = network.dequantize()
        network.to(torch.bfloat16)
    if start is not None:
        network = PeftModel.from_pretrained(network, start, is_trainable=True)
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # drawing it cost an eighth of a step, and one pass or two do not overfit
        return network
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(network, config)


def train(network: Any, rows: Iterator[Row], budget_seconds: float, checkpoint: Any) -> None:
    """Steps until the time is used, printing loss and speed."""
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], weight_decay=0.01)
    began = last = time.monotonic()
    losses: list[float] = []
    tokens = step = 0
    network.train()
    while (spent := time.monotonic() - began) < budget_seconds:
        rate = learning_rate(spent / budget_seconds, step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        row = next(rows)
        loss = loss_of(network, row)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
        tokens += len(row.tokens)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % 10 == 0:
            mean = sum(losses[-50:]) / len(losses[-50:])
            speed = tokens / (time.monotonic() - began)
            print(f"step {step} loss {mean:.4f} rate {rate:.1e} {speed:.0f} tok/s {spent:.0f} s", flush=True)
        if time.monotonic() - last > 600:
            last = time.monotonic()
            checkpoint()


def learning_rate(progress: float, step: int) -> float:
    """Twenty steps of warm-up, then a half cosine over the time budget."""
    return (
        PEAK_LEARNING_RATE * min(1.0, (step + 1) / 20) * max(0.02, 0.5 * (1 + math.cos(math.pi * progress)))
    )


def loss_of(network: Any, row: Row) -> torch.Tensor:
    """Mean over choices of the mean negative log of the probability that the right words hold together."""
    unused = [0] * (ROW_TOKENS - len(row.tokens))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = network.base_model.model.model(
            input_ids=torch.tensor([row.tokens + unused]),
            position_ids=torch.tensor([row.positions + unused]),
            documents=row.documents,
            use_cache=False,
        ).last_hidden_state[0]
    weight = network.get_output_embeddings().weight
    losses = []
    for right in row.rights:
        words = weight[right.word_tokens]
        scores = (hidden[right.places].to(words.dtype) @ words.T).float().log_softmax(-1)
        is_right = torch.from_numpy(right.is_right)
        losses.append(-scores.masked_fill(~is_right, float("-inf")).logsumexp(-1).mean())
    return torch.stack(losses).mean()


def save(network: Any, output: Path, labels: Sequence[MarkedLabel]) -> None:
    """The adapter as safetensors, and what the worker must know to serve it."""
    network.save_pretrained(output)
    served = {
        "tasks": ["entities", "search"],
        "entities_form": "marks",
        "labels": [label.name for label in labels],
    }
    (output / "notemill.json").write_text(json.dumps(served, indent=1), "utf-8")


if __name__ == "__main__":
    main()
