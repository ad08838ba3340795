"""Compares answers of the settings' weights on the GPU, on the CPU and by transformers itself."""

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
from worker.entities.window_tagging import tagging_requests
from worker.note.parsed_note import Note
from worker.search.search_task import search_requests
from worker.weights.model_files import adapter_folder, prepared_folder


def correctness(card: Card) -> NamedFigures:
    """Answers of the settings' weights on the GPU compared with the CPU's, with and without the adapter."""
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
                alone = {
                    question: engine.answer([questions[question]])[0]
                    for question in questions
                    if question.endswith(" 1")
                }
        yield (
            f"{name}_seconds",
            {"load": four_digits(loaded - began), "answer": four_digits(answered - loaded)},
        )
    replies.setdefault("cpu", replies["card"])  # a trial run has one device
    for kind in dict.fromkeys(name.rpartition(" ")[0] for name in questions):
        of_kind = [name for name in questions if name.rpartition(" ")[0] == kind]
        yield kind, compare_replies([(replies["card"][name], replies["cpu"][name]) for name in of_kind])
    yield (
        "alone_and_mixed",
        compare_replies([(reply, replies["card"][name]) for name, reply in alone.items()]),
    )
    if not card.is_cuda and card.settings.quantization == "nf4":
        return  # 4-bit products on a CPU take seconds a window
    few = {
        name: request
        for name, request in questions.items()
        if isinstance(request, ScoreRequest) and name.endswith((" 1", " 2"))
    }
    reference = _by_transformers(card, few)
    for device, of_device in replies.items():
        pairs = [(of_device[name], reference[name]) for name in few]
        yield f"{device}_and_transformers", compare_replies(pairs)


def _questions(card: Card) -> dict[str, Request]:
    """Requests on windows by kind and number: scoring and generation, adapter on or off."""
    chat, config, size = load_chat(card.settings), card.config, 600 if card.is_cuda else 60
    texts = [note_of_length(chat, size, number=number) for number in range(4 if card.is_cuda else 1)]
    questions: dict[str, Request] = {}
    number = 0
    for text in texts:
        note = Note.of(
            text, lambda chunk: len(chat.plain(chunk)), config.window_tokens, config.summary_window_tokens
        )
        for tagging, search in zip(
            tagging_requests(note, config), search_requests(note, QUERY, config), strict=True
        ):
            number += 1
            for kind, request in (("marks", tagging), ("search", search)):
                for name, uses_adapter in (("adapted", True), ("plain", False)):
                    switched = replace(request, prompt=replace(request.prompt, uses_adapter=uses_adapter))
                    questions[f"{kind} {name} {number}"] = switched
            free = GenerateRequest(
                replace(search.prompt, question="Summarize the note.", uses_adapter=False), 48
            )
            questions[f"written {number}"] = free
            questions[f"written adapted {number}"] = replace(
                free, prompt=replace(free.prompt, uses_adapter=True)
            )
    lists = [
        prompt.request
        for prompt in generation_prompts(texts[:1], chat, card.settings)
        if prompt.request is not None
    ]
    questions |= {
        f"written in a form {index + 1}": request
        for index, request in enumerate(lists[: 6 if card.is_cuda else 2])
    }
    return questions


def _by_transformers(card: Card, asked: Mapping[str, ScoreRequest]) -> dict[str, Reply]:
    """Scores of each request alone by transformers' attention, with peft's switch and the GPU's weights.

    The adapter is in fp32, peft's default.
    """
    folder, adapter = prepared_folder(card.settings), adapter_folder(card.settings)
    chat, where = load_chat(card.settings), {"": card.device}
    network: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, device_map=where).eval()
    if adapter is not None:
        network = PeftModel.from_pretrained(network, adapter).eval()
    replies: dict[str, Reply] = {}
    for name, request in asked.items():
        is_off = adapter is not None and not request.prompt.uses_adapter
        with network.disable_adapter() if is_off else nullcontext():
            replies[name] = reference_scores(network, request, chat)
    return replies
