"""The settings' own weights: the same questions on the card, on the CPU, and to transformers itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from benchmarks.card.card_setup import Card
from benchmarks.card.figure_format import NamedFigures, four_digits
from benchmarks.card.reply_differences import compare_replies
from benchmarks.comparison.reference_decisions import reference_scores
from benchmarks.comparison.workload import QUERY, generation_prompts
from benchmarks.machine.token_counts import note_of_length
from worker.engine.api import GenerateRequest, Reply, Request, ScoreRequest
from worker.engine.prompting.tokenizer import load_chat
from worker.engine_factory import load
from worker.entities.window_tagging import reading_requests
from worker.note.parsed_note import Note
from worker.search.search_task import search_requests
from worker.weights.model_files import adapter_folder, prepared_folder


def correctness(card: Card) -> NamedFigures:
    """The settings' own weights: the card's answers beside the CPU's, adapted and plain in one call."""
    questions = _questions(card)
    devices = {"card": "cuda", "cpu": "cpu"} if card.is_cuda else {"card": "cpu"}
    replies: dict[str, dict[str, Reply]] = {}
    for name, device in devices.items():
        began = time.perf_counter()
        with closing(load(card.settings.model_copy(update={"device": device}))) as engine:
            loaded = time.perf_counter()
            replies[name] = dict(zip(questions, engine.answer(list(questions.values())), strict=True))
            answered = time.perf_counter()
            if name == "card":
                alone = {one: engine.answer([questions[one]])[0] for one in questions if one.endswith(" 1")}
        yield (
            f"{name}_seconds",
            {"load": four_digits(loaded - began), "answer": four_digits(answered - loaded)},
        )
    replies.setdefault("cpu", replies["card"])  # a rehearsal has one device
    for kind in dict.fromkeys(name.rpartition(" ")[0] for name in questions):
        own = [name for name in questions if name.rpartition(" ")[0] == kind]
        yield kind, compare_replies([(replies["card"][one], replies["cpu"][one]) for one in own])
    yield "alone_and_mixed", compare_replies([(one, replies["card"][name]) for name, one in alone.items()])
    if not card.is_cuda and card.settings.quantization == "nf4":
        return  # 4-bit products take seconds a window there
    few = {
        name: one
        for name, one in questions.items()
        if isinstance(one, ScoreRequest) and name.endswith((" 1", " 2"))
    }
    plain = _by_transformers(card, few)
    for name, some in replies.items():
        yield f"{name}_and_transformers", compare_replies([(some[one], plain[one]) for one in few])


def _questions(card: Card) -> dict[str, Request]:
    """Of the example notes' windows, by kind and number: decided and written, adapted and plain."""
    chat, config, size = load_chat(card.settings), card.config, 600 if card.is_cuda else 60
    texts = [note_of_length(chat, size, number=number) for number in range(4 if card.is_cuda else 1)]
    found: dict[str, Request] = {}
    number = 0
    for text in texts:
        note = Note.of(
            text, lambda chunk: len(chat.plain(chunk)), config.window_tokens, config.summary_window_tokens
        )
        for marks, search in zip(
            reading_requests(note, config), search_requests(note, QUERY, config), strict=True
        ):
            number += 1
            for kind, one in (("marks", marks), ("search", search)):
                for name, uses_adapter in (("adapted", True), ("plain", False)):
                    asked = replace(one, prompt=replace(one.prompt, uses_adapter=uses_adapter))
                    found[f"{kind} {name} {number}"] = asked
            free = GenerateRequest(
                replace(search.prompt, question="Summarize the note.", uses_adapter=False), 48
            )
            found[f"written {number}"] = free
            found[f"written adapted {number}"] = replace(free, prompt=replace(free.prompt, uses_adapter=True))
    lists = [
        one.request for one in generation_prompts(texts[:1], chat, card.settings) if one.request is not None
    ]
    found |= {
        f"written in a form {place + 1}": one for place, one in enumerate(lists[: 6 if card.is_cuda else 2])
    }
    return found


def _by_transformers(card: Card, asked: Mapping[str, ScoreRequest]) -> dict[str, Reply]:
    """Each alone through transformers' own attention and peft's switch, the weights as the card has them.

    The adapter is as peft has it unless told otherwise, in fp32.
    """
    folder, adapter = prepared_folder(card.settings), adapter_folder(card.settings)
    chat, where = load_chat(card.settings), {"": card.device}
    network: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, device_map=where).eval()
    if adapter is not None:
        network = PeftModel.from_pretrained(network, adapter).eval()
    found: dict[str, Reply] = {}
    for name, one in asked.items():
        is_off = adapter is not None and not one.prompt.uses_adapter
        with network.disable_adapter() if is_off else nullcontext():
            found[name] = reference_scores(network, one, chat)
    return found
