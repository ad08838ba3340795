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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.labels import load_labels
from models.settings import load_settings
from training.examples import Example, marks_examples, read_corpus, search_examples
from training.section_examples import answer_examples, section_examples
from training.targets import Target, target_of
from worker.chat import Chat
from worker.decisions import MarkedLabel, marked_labels
from worker.weights import prepare

MAX_CHARACTERS = 1_300
"""A window's length; about 320 tokens of a clinical note."""
MIX = {"maccrobat": 0.4, "bc5cdr": 0.15, "ncbi_disease": 0.1, "search": 0.35}
"""How often each kind of example is drawn."""
PEAK_LEARNING_RATE = 5e-4
BATCH_EXAMPLES = 2


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
    kinds = {
        kind: [target_of(example, chat, labels) for example in examples]
        for kind, examples in examples_by_kind(options.data, labels, chance).items()
    }
    network = trainable(folder, options.rank, options.start)
    print({kind: (len(some), sum(len(t.tokens) for t in some)) for kind, some in kinds.items()}, flush=True)
    train(network, kinds, chance, options.minutes * 60, lambda: save(network, options.output, labels))
    save(network, options.output, labels)


def examples_by_kind(
    data: Path, labels: Sequence[MarkedLabel], chance: random.Random
) -> dict[str, list[Example]]:
    """Training halves only."""
    records = {name: read_corpus(data, name, "train") for name in ("maccrobat", "bc5cdr", "ncbi_disease")}
    kinds = {name: marks_examples(name, some, labels, MAX_CHARACTERS) for name, some in records.items()}
    kinds["search"] = [
        example
        for name in ("maccrobat", "ncbi_disease")
        for example in search_examples(name, records[name], MAX_CHARACTERS, chance)
    ]
    notes = [record["note"] for record in read_corpus(data, "aci_bench", "train")]
    kinds["search"] += section_examples(notes, MAX_CHARACTERS, chance) * 2
    kinds["search"] += answer_examples(read_corpus(data, "medquad", "qa"), 600, chance)
    return kinds


def trainable(folder: Path, rank: int, start: Path | None = None) -> Any:
    """The served network in bf16, frozen, with LoRA on every linear layer of its blocks."""
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, use_safetensors=True)
    if getattr(network, "is_quantized", False):
        network = network.dequantize()
        network.to(torch.bfloat16)
    if start is not None:
        return PeftModel.from_pretrained(network, start, is_trainable=True)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(network, config)


def train(
    network: Any,
    kinds: dict[str, list[Target]],
    chance: random.Random,
    budget_seconds: float,
    checkpoint: Any,
) -> None:
    """Steps until the time is used, printing loss and speed."""
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], weight_decay=0.01)
    began = last = time.monotonic()
    losses: list[float] = []
    tokens = step = 0
    decks: dict[str, list[Target]] = {kind: [] for kind in kinds}
    network.train()
    while (spent := time.monotonic() - began) < budget_seconds:
        rate = learning_rate(spent / budget_seconds, step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        for kind in chance.choices(list(MIX), weights=list(MIX.values()), k=BATCH_EXAMPLES):
            if not decks[kind]:
                decks[kind] = chance.sample(kinds[kind], len(kinds[kind]))
            target = decks[kind].pop()
            loss = loss_of(network, target) / BATCH_EXAMPLES
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(float(loss.detach()) * BATCH_EXAMPLES)
            tokens += len(target.tokens)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % 10 == 0:
            mean = sum(losses[-40:]) / len(losses[-40:])
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


def loss_of(network: Any, target: Target) -> torch.Tensor:
    """Mean negative log of the probability that the right words hold together, over the decided places."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = network.base_model.model.model(
            input_ids=torch.tensor([target.tokens]), use_cache=False
        ).last_hidden_state
    words = network.get_output_embeddings().weight[target.word_tokens]
    scores = (hidden[0, target.places].to(words.dtype) @ words.T).float().log_softmax(-1)
    right = torch.from_numpy(target.is_right)
    loss: torch.Tensor = -scores.masked_fill(~right, float("-inf")).logsumexp(-1).mean()
    return loss


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
