"""Training examples: targets at the right positions; unannotated labels never count as wrong."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from tiny import write_tiny_weights
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoTokenizer

from training.examples.row_packing import PackedDocument, packed_rows
from training.examples.section_examples import (
    answer_examples,
    kind_examples,
    notes_of_parts,
    section_examples,
)
from training.examples.targets import training_sequence
from training.examples.task_examples import search_examples, tagging_examples, windows_of
from training.finetune.document_attention import attend, document_masks
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.label_words import tagged_labels
from worker.entities.bio_decoding import decode_mentions

LABELS = tagged_labels(["problem", "medication", "test"])
TEXT = "He has chest pain. Aspirin was given. The chest film was clear."


def mention(text: str, label: str) -> dict:
    return {"start": TEXT.index(text), "end": TEXT.index(text) + len(text), "text": text, "label": label}


RECORD = {"text": TEXT, "entities": [mention("chest pain", "Disease"), mention("Aspirin", "Chemical")]}
NOTE = "CHIEF COMPLAINT\n\nKnee pain.\n\nPLAN\n\nRest and ice. Follow up in two weeks.\n"


NOTE_ENDS = {"nee pain.": "pain", " and ice.": "ice", "wo weeks.": "weeks"}


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return Chat(AutoTokenizer.from_pretrained(write_tiny_weights(tmp_path_factory.mktemp("weights"))))


def test_the_target_tags_decode_to_the_annotated_mentions(chat):
    [example] = tagging_examples("bc5cdr", [RECORD], LABELS, 1_000)
    [targets] = training_sequence(example, chat, LABELS, "entities").choice_targets
    offsets = chat.plain_with_offsets(TEXT)[1]
    scores = np.where(targets.is_right, 0.0, -9.0).astype(np.float32)
    scores[:, 5:] = -9.0  # the corpus does not annotate this label
    mentions = decode_mentions(TEXT, offsets, scores, LABELS)
    assert [(TEXT[mention.start : mention.end], mention.label) for mention in mentions] == [
        ("chest pain", "problem"),
        ("Aspirin", "medication"),
    ]


def test_tags_of_an_unannotated_label_count_as_right_wherever_outside_does(chat):
    [example] = tagging_examples("bc5cdr", [RECORD], LABELS, 1_000)
    right = training_sequence(example, chat, LABELS, "entities").choice_targets[0].is_right
    nowhere = right[:, 0]
    assert right[nowhere][:, 5:].all()
    assert not right[nowhere][:, 1:5].any()
    assert not right[~nowhere][:, 5:].any()


def test_targets_follow_the_tokens_of_the_copy(chat):
    [example] = tagging_examples("bc5cdr", [RECORD], LABELS, 1_000)
    sequence = training_sequence(example, chat, LABELS, "entities")
    [targets] = sequence.choice_targets
    assert chat.decode([sequence.tokens[position] for position in targets.positions]) == TEXT


def test_windows_are_whole_sentences_and_cover_the_note():
    spans = list(windows_of(RECORD, 40))
    assert [TEXT[start:end] for start, end in spans] == [
        "He has chest pain. Aspirin was given.",
        "The chest film was clear.",
    ]


def test_a_query_is_answered_by_the_sentences_with_its_mention():
    examples = search_examples("bc5cdr", [RECORD], 1_000, random.Random(3))
    for example in examples:
        [sentence] = [n for n, relevant in enumerate(example.is_relevant) if relevant]
        assert sentence == (0 if "chest pain" in example.request.prompt.question else 1)


def test_a_section_answers_its_own_question_with_or_without_its_heading():
    for seed in range(12):
        for example in section_examples([NOTE], 1_000, random.Random(seed)):
            asks_for_plan = "plan" in example.request.prompt.question.lower()
            if asks_for_plan:
                assert sum(example.is_relevant) == 2
                assert not example.is_relevant[example.request.copy.startswith("CHIEF")]


def test_a_sentence_has_the_kind_of_its_section_with_or_without_the_heading():
    for seed in range(6):
        [example] = kind_examples([NOTE], LABELS, 1_000, random.Random(seed))
        tails = [example.request.copy[:end][-9:] for end in example.request.choices[1].ends]
        of_sentences = zip(tails, example.kinds, strict=True)
        kind_of = {NOTE_ENDS[tail]: kinds for tail, kinds in of_sentences if tail in NOTE_ENDS}
        assert kind_of == {"pain": {"course"}, "ice": {"plan"}, "weeks": {"plan"}}


def test_one_of_three_answers_is_relevant():
    rows = [{"question": f"Q{n}?", "answer": f"Answer {n} is here. It goes on."} for n in range(5)]
    for example in answer_examples(rows, 20, random.Random(1)):
        number = example.request.prompt.question.split("Query: Q")[1][0]
        start = example.request.copy.index(f"Answer {number}")
        relevant = [
            end for end, hit in zip(example.request.choices[0].ends, example.is_relevant, strict=True) if hit
        ]
        assert relevant
        assert all(end > start for end in relevant)


def test_a_note_composed_of_parts_has_their_headings():
    rows = [
        {"section": name, "section_text": f"{name} text that is long enough to be learnt."}
        for name in ("CC", "EXAM", "PLAN", "ALLERGY", "GENHX", "LABS")
    ]
    [note] = notes_of_parts(rows, 1, random.Random(2))
    assert note.count("\n\n") >= 3
    assert "text that is long enough to be learnt." in note


def test_questions_on_one_document_share_its_prefix_in_a_row(chat):
    examples = search_examples("bc5cdr", [RECORD] * 3, 1_000, random.Random(1))
    sequences = [training_sequence(example, chat, LABELS, "search") for example in examples]
    [row] = packed_rows(sequences, 5_000)
    [document] = row.documents
    shared = sequences[0].shared_tokens
    assert row.tokens[document.prefix] == sequences[0].tokens[:shared]
    for continuation, sequence, (_, right) in zip(
        document.continuations, sequences, row.choice_targets, strict=True
    ):
        assert row.tokens[continuation] == sequence.tokens[shared:]
        assert row.position_ids[continuation.start] == shared
        assert [row.tokens[position] for position in right.positions] == [
            sequence.tokens[position] for position in sequence.choice_targets[0].positions
        ]


def test_a_continuation_attends_only_to_its_prefix_and_itself():
    documents = [
        PackedDocument(slice(0, 3), (slice(3, 5), slice(5, 9))),
        PackedDocument(slice(9, 11), (slice(11, 14),)),
    ]
    query, key, value = torch.randn(3, 1, 2, 16, 4, generator=torch.manual_seed(1)).unbind(0)
    attended, _ = attend(None, query, key, value, None, documents=documents, scaling=0.5)
    mask = torch.zeros(16, 16, dtype=torch.bool)
    for document in documents:
        for tokens in (document.prefix, *document.continuations):
            mask[tokens, document.prefix] = mask[tokens, tokens] = True
    mask &= torch.ones(16, 16).tril().bool()
    seen = document_masks([documents, documents[:1]], 16)
    assert torch.equal(seen[0, 0, :14], mask[:14])
    both = (torch.cat((tensor, tensor)) for tensor in (query, key, value))
    under_mask, _ = attend(None, *both, None, document_mask=seen, scaling=0.5)
    assert torch.allclose(attended[0, :14], under_mask[0, :14], atol=1e-5)
    assert torch.allclose(attended[0, :9], under_mask[1, :9], atol=1e-5)
    expected = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.5).transpose(1, 2)
    assert torch.allclose(attended[:, :14], expected[:, :14], atol=1e-5)
