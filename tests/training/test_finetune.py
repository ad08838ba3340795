"""`notemill train finetune` on a tiny Mistral in 4 bits: packing, resuming, stopping and reports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from peft import PeftModel
from safetensors.torch import load_file
from tiny import write_tiny_adapter, write_tiny_weights
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.documents import text_sha256
from models.labels import load_labels
from models.security.training_provenance import read_trained_on, write_trained_on
from models.settings import Settings
from training.data.prepared_folder import write_prepared
from training.examples.generation_examples import GenerationExample, GenerationSequences
from training.examples.row_packing import packed_rows
from training.examples.training_sequences import ChoiceTarget, TrainingSequence
from training.finetune.finetune import FinetuneJob, finetune
from training.finetune.lora_model import frozen_in_bf16, trainable
from training.finetune.losses import target_losses
from training.finetune.training_loop import learning_rate
from training.finetune.training_memory import plan_training
from training.finetune.training_recipe import RecipeError, TrainingRecipe, load_recipe
from worker.engine.memory.memory_plan import GIB
from worker.engine.memory.model_shape import CONFIGS, ModelShape
from worker.engine.prompting.chat_template import Chat
from worker.summary.abstractive import SECTION_QUESTIONS, section_request

pytest_plugins = ("commands",)
SIZES = {
    "row_tokens": 512,
    "rows_a_step": 2,
    "epochs": 3,
    "validate_every_steps": 4,
    "checkpoint_every_steps": 3,
}
EIGHT_GB = load_recipe("mistral-7b-8gb", "mistral-7b", **SIZES)
TEXT = "He has chest pain. Aspirin 81 mg was given. He denies fever."


def record(number: int) -> dict:
    text = f"Patient {number}. {TEXT}"
    spans = [
        (text.index(word), word, label)
        for word, label in (("chest pain", "problem"), ("Aspirin", "medication"))
    ]
    entities = [
        {"start": at, "end": at + len(word), "text": word, "label": label} for at, word, label in spans
    ]
    return {"kind": "note", "corpus": "own", "text": text, "entities": entities}


def chat_record(number: int) -> dict:
    return {
        "kind": "conversation",
        "turns": [["human", f"What is gout {number}?"], ["assistant", "A disease."]],
    }


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    train = [example for number in range(3) for example in (record(number), chat_record(number))]
    write_prepared(folder, train, [record(90), chat_record(91)], {})
    return folder


@pytest.fixture
def asked(weights: Path, data: Path, tmp_path: Path):
    def make(name: str, recipe: TrainingRecipe = EIGHT_GB, **changes) -> FinetuneJob:
        return FinetuneJob(
            data=data,
            output=tmp_path / name,
            recipe=recipe,
            settings=Settings(weights=str(weights), device="cpu"),
            labels=load_labels(),
            **changes,
        )

    return make


def losses(folder: Path) -> list[float]:
    return json.loads((folder / "training.json").read_text())["losses"]


def quiet(_line: str) -> None:
    pass


def test_the_8_gb_recipe_trains_4_bit_weights_and_the_validation_loss_falls(asked) -> None:
    eager = {"learning_rate": 1e-2, "warmup_steps": 0, "epochs": 4, "validate_every_steps": 2}
    facts = finetune(asked("run", EIGHT_GB.model_copy(update=eager)), quiet)
    validations = json.loads((Path(facts["output"]) / "training.json").read_text())["validations"]
    assert facts["optimizer"] == "adamw"  # the paged 8-bit optimizer needs CUDA
    assert validations[-1]["loss"] < 0.7 * validations[0]["loss"]


def test_a_stopped_run_resumes_with_identical_losses(asked) -> None:
    finetune(asked("whole"), quiet)
    finetune(asked("parts", stop_after_steps=3), quiet)
    finetune(asked("parts"), quiet)
    whole, resumed = (asked(name).output for name in ("whole", "parts"))
    assert losses(whole) == losses(resumed)
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_killed_run_resumes_with_identical_losses(asked, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(EIGHT_GB.model_dump() | {"epochs": 4}))
    run = asked("killed", load_recipe(str(recipe), ""))
    command = [sys.executable, "-m", "notemill", "train", "finetune", "--data", str(run.data)]
    command += ["--output", str(run.output), "--recipe", str(recipe), "--weights", run.settings.weights]
    environment = os.environ | {"NOTEMILL_DEVICE": "cpu"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not list(run.output.glob("checkpoints/step-*.pt")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finetune(run, quiet)
    finetune(asked("whole", run.recipe), quiet)
    assert losses(run.output) == losses(tmp_path / "whole")


def test_an_adapter_folder_documents_its_training(asked) -> None:
    run = asked("told", stop_after_steps=3)
    facts = finetune(run, quiet)
    card = (run.output / "README.md").read_text()
    assert facts["data_sha256"] in card
    assert yaml.safe_load((run.output / "recipe.yaml").read_text()) == EIGHT_GB.model_dump()
    assert (run.output / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((run.output / "notemill.json").read_text())["entities_form"] == "marks"
    assert "chest pain" not in card


def test_before_the_first_step_a_folder_lists_the_training_notes_of_itself_and_its_start(
    asked, weights: Path, tmp_path: Path
) -> None:
    start = write_tiny_adapter(weights, tmp_path / "start", labels=[label.name for label in load_labels()])
    write_trained_on(start, ["0" * 64])
    run = asked("listed", load_recipe("mistral-7b-8gb", "", **SIZES, rank=4, alpha=8), start=start)
    notes = [record(number)["text"] for number in (0, 1, 2, 90)]
    listed_hashes: list[frozenset[str]] = []
    job = FinetuneJob(**{**vars(run), "stop_after_steps": 1})
    finetune(job, lambda _line: listed_hashes.append(read_trained_on(run.output)))
    assert listed_hashes[0] == {"0" * 64, *map(text_sha256, notes)}


def test_checkpoints_of_another_recipe_are_not_resumed(notemill, asked) -> None:
    run = asked("other", stop_after_steps=3)
    finetune(run, quiet)
    command = ("train", "finetune", "--data", run.data, "-o", run.output, "--weights", run.settings.weights)
    assert notemill(*command, "--epochs", 2) == 2
    assert "--restart" in notemill.err


def test_early_stopping_keeps_the_best_adapter(asked) -> None:
    wild = {
        "learning_rate": 3.0,
        "max_gradient_norm": 100.0,
        "patience": 1,
        "validate_every_steps": 1,
        "epochs": 9,
    }
    facts = finetune(asked("wild", EIGHT_GB.model_copy(update=wild)), quiet)
    assert facts["is_stopped_early"]
    kept = load_file(asked("wild").output / "adapter_model.safetensors")
    best = load_file(asked("wild").output / "checkpoints" / "best" / "adapter_model.safetensors")
    assert all(torch.equal(kept[name], best[name]) for name in best)


def test_sequences_packed_in_one_row_do_not_attend_to_each_other(weights: Path) -> None:
    chance = np.random.default_rng(1)
    decided = ChoiceTarget([10, 59], [7, 9], np.eye(2, dtype=bool))
    sequences = [
        TrainingSequence("a", chance.integers(5, 300, 40).tolist(), answers=tuple(range(20, 40))),
        TrainingSequence("b", chance.integers(5, 300, 60).tolist(), choice_targets=(decided,)),
    ]
    network = trainable(weights, EIGHT_GB.model_copy(update={"dropout": 0.0}), torch.device("cpu"))
    together = [
        float(target_loss.loss) for target_loss in target_losses(network, packed_rows(sequences, 100)[:1])
    ]
    apart = [
        float(target_loss.loss)
        for sequence in sequences
        for target_loss in target_losses(network, packed_rows([sequence], 100))
    ]
    assert sorted(together) == pytest.approx(sorted(apart), rel=2e-3)


def test_a_conversation_is_trained_on_its_answers_only(weights: Path) -> None:
    chat = Chat(AutoTokenizer.from_pretrained(weights))
    turns = [("human", "fever?"), ("assistant", "no fever"), ("human", "cough?"), ("assistant", "a cough")]
    sequence = GenerationSequences(chat).conversation(turns, "conversation")
    learnt = [sequence.tokens[position] for position in sequence.answers]
    assert chat.tokenizer.decode(learnt) == "no fever</s>a cough</s>"


def test_an_answer_outside_its_grammar_is_refused(weights: Path) -> None:
    builder = GenerationSequences(Chat(AutoTokenizer.from_pretrained(weights)))
    request = section_request("He got aspirin 81 mg.", SECTION_QUESTIONS["Medications"], 2)
    assert builder.answer(GenerationExample(request, "Aspirin 81 mg was given."), "summary") is not None
    assert builder.answer(GenerationExample(request, "Aspirin 325 mg was given."), "summary") is None
    assert builder.refused == {"summary: not as its grammar has it": 1}


def test_a_recipe_with_an_unknown_name_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("lerning_rate: 1\n")
    with pytest.raises(RecipeError, match="lerning_rate"):
        load_recipe(str(tmp_path / "mine.yaml"), "mistral-7b")
    with pytest.raises(RecipeError, match="one of mistral-7b-8gb, smollm2-135m-cpu"):
        load_recipe("mine", "mistral-7b")


def test_the_8_gb_recipe_fits_8_gb_only_with_gradient_checkpointing(notemill) -> None:
    assert notemill("train", "finetune", "--plan", "--weights", "mistral-7b") == 0
    assert "It fits 8 GiB" in notemill.out
    shape, recipe = ModelShape.of(CONFIGS["mistral-7b"]), load_recipe("mistral-7b-8gb", "")
    unchecked = recipe.model_copy(update={"has_gradient_checkpointing": False})
    assert not plan_training(shape, unchecked, budget_bytes=8 * GIB, is_cuda=True).fits


def test_the_learning_rate_warms_up_and_ends_at_a_fiftieth() -> None:
    rates = [learning_rate(EIGHT_GB, step, 200) for step in range(1, 201)]
    assert max(rates) == pytest.approx(EIGHT_GB.learning_rate, rel=0.05)
    assert rates[0] < 0.1 * max(rates)
    assert rates[-1] == pytest.approx(0.02 * EIGHT_GB.learning_rate)


def test_a_merged_network_computes_the_same_as_weights_and_adapter(
    notemill, weights: Path, tmp_path: Path
) -> None:
    adapter = write_tiny_adapter(weights, tmp_path / "adapter", labels=["problem"])
    write_trained_on(adapter, ["0" * 64])
    command = ("train", "merge", adapter, "--output", tmp_path / "merged", "--weights", weights)
    assert notemill(*command) == 0, notemill.err
    tokens = torch.tensor([[5, 9, 17, 30]])
    beside = PeftModel.from_pretrained(frozen_in_bf16(weights, torch.device("cpu")), adapter).eval()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.bfloat16).eval()
    segments = {"segments": [slice(0, 4)]}
    expected = beside.get_base_model().model(input_ids=tokens, **segments).last_hidden_state
    computed = merged.model(input_ids=tokens).last_hidden_state
    assert torch.allclose(computed, expected, atol=0.15)
    assert read_trained_on(tmp_path / "merged") == {"0" * 64}
    assert notemill(*command) == 2  # an existing folder is not overwritten
