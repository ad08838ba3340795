"""Scheduler, without a network: turns, slots, budgets, and prefixes that are computed once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.engine.batching.fair_queue import TURN_TOKENS
from worker.engine.batching.prefix_cache import MAX_UNUSED_TOKENS
from worker.engine.batching.scheduler import MAX_FORWARD_TOKENS, Scheduler
from worker.engine.batching.sequences import CacheCopy, Continuation, ForwardBatch, Prefix


def continuation(
    scheduler: Scheduler, own: int = 10, *, shared: int = 20, note: int = 7, reserved: int = 0
) -> Continuation:
    prefix = scheduler.prefix_cache.find([note] * shared, uses_adapter=False)
    return Continuation(prefix, [1] * own, logit_indexes=(own - 1,), reserved_tokens=reserved)


def run(scheduler: Scheduler, *, is_generation_finished: bool = True) -> ForwardBatch:
    """Runs one batch as the engine does: scoring continuations finish, generating ones finish or go on."""
    batch = scheduler.schedule()
    for chunk in batch.chunks:
        chunk.sequence.num_computed_tokens = chunk.stop
    scheduler.remove(
        [sequence for sequence in batch.continuations if is_generation_finished or not sequence.is_generated]
    )
    return batch


def prefix_tokens(batch: ForwardBatch) -> int:
    return sum(chunk.num_tokens for chunk in batch.chunks if isinstance(chunk.sequence, Prefix))


def test_a_prefix_is_computed_once_and_its_continuations_join_the_same_batch():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([continuation(scheduler) for _ in range(5)])
    batch = run(scheduler)
    assert prefix_tokens(batch) == 20
    assert len(batch.continuations) == 5
    assert scheduler.is_idle


def with_cached_question(
    scheduler: Scheduler, note: int, question: int, *, position: int = 512
) -> Continuation:
    """A continuation of a cached question; both prefixes start with the same head of 20 tokens."""
    head = [5] * 20
    prefix = scheduler.prefix_cache.find([*head, *[note] * 30], uses_adapter=False)
    requests = scheduler.prefix_cache.find(
        [*head, *[question] * 9], uses_adapter=False, head_tokens=20, start_position=position
    )
    return Continuation(prefix, [1] * 10, logit_indexes=(9,), question_prefix=requests)


def test_a_cached_question_is_computed_once_for_all_notes():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([with_cached_question(scheduler, note, 2) for note in (6, 7)])
    assert prefix_tokens(run(scheduler)) == 29 + 2 * 50
    scheduler.add([with_cached_question(scheduler, 8, 2)])
    batch = run(scheduler)
    assert prefix_tokens(batch) == 30
    assert [copy.num_tokens for copy in batch.copies] == [20]
    assert scheduler.is_idle


def test_a_question_and_a_note_share_only_tokens_at_equal_positions():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([with_cached_question(scheduler, 6, 2)])
    run(scheduler)
    scheduler.add([with_cached_question(scheduler, 2, 2)])  # a note with the same tokens as the question
    assert prefix_tokens(run(scheduler)) == 30
    scheduler.add([with_cached_question(scheduler, 2, 2, position=1_024)])
    assert prefix_tokens(run(scheduler)) == 9


def test_position_ids_follow_the_prefixes():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    cached_continuation = with_cached_question(scheduler, 6, 2)
    assert cached_continuation.question_prefix.position_ids(18, 22) == [18, 19, 512, 513]
    assert cached_continuation.position_ids(0, 2) == range(521, 523)
    assert cached_continuation.num_prefix_tokens == 59
    assert continuation(scheduler).position_ids(0, 2) == range(20, 22)


def test_a_later_question_on_a_note_finds_its_prefix_cached():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([continuation(scheduler)])
    run(scheduler)
    scheduler.add([continuation(scheduler)])
    assert prefix_tokens(run(scheduler)) == 0


def with_prefix(scheduler: Scheduler, tokens: list[int], *, uses_adapter: bool = False) -> Continuation:
    prefix = scheduler.prefix_cache.find(tokens, uses_adapter=uses_adapter)
    return Continuation(prefix, [1] * 10, logit_indexes=(9,))


def test_a_prefix_copies_the_common_start_of_a_cached_prefix():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([with_prefix(scheduler, [5] * 40 + [6] * 60)])
    assert run(scheduler).copies == ()
    scheduler.add([other := with_prefix(scheduler, [5] * 40 + [7] * 30)])
    batch = run(scheduler)
    assert batch.copies == (CacheCopy(source=0, target=other.prefix.cache_start, num_tokens=40),)
    assert prefix_tokens(batch) == 30
    assert run(scheduler).copies == ()


def test_a_prefix_waits_one_batch_to_copy_tokens_that_are_being_computed():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([with_prefix(scheduler, [5] * 200 + [note] * 60) for note in (6, 7)])
    scheduler.add([with_prefix(scheduler, [8] * 30)])
    first, second = run(scheduler), run(scheduler)
    assert [prefix_tokens(batch) for batch in (first, second)] == [260, 60 + 30]
    assert [copy.num_tokens for copy in second.copies] == [200]
    assert scheduler.is_idle


def test_nothing_is_copied_from_uncomputed_or_adapter_or_barely_equal_prefixes():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([with_prefix(scheduler, [5] * 40 + [note]) for note in (6, 7)])
    scheduler.add(
        [with_prefix(scheduler, [5] * 40, uses_adapter=True), with_prefix(scheduler, [5] * 15 + [8] * 25)]
    )
    batch = run(scheduler)
    assert batch.copies == ()
    assert prefix_tokens(batch) == 2 * 41 + 2 * 40


def test_unused_prefixes_are_evicted_before_they_fill_the_cache():
    scheduler = Scheduler(max_rows=4, max_tokens=100_000)
    for note in range(100):
        scheduler.add([continuation(scheduler, note=note, shared=500)])
        run(scheduler)
    assert scheduler.prefix_cache.end <= MAX_UNUSED_TOKENS + 500


def test_a_long_prefix_is_prefilled_in_chunks_while_decoding_goes_on():
    scheduler = Scheduler(max_rows=4, max_tokens=100_000)
    generating = continuation(scheduler, reserved=50)
    scheduler.add([generating])
    run(scheduler, is_generation_finished=False)
    scheduler.add([continuation(scheduler, shared=3 * MAX_FORWARD_TOKENS, note=8)])
    generating.tokens.append(1)
    batch = run(scheduler, is_generation_finished=False)
    assert {chunk.sequence: chunk.num_tokens for chunk in batch.chunks}[generating] == 1
    assert batch.num_tokens == MAX_FORWARD_TOKENS


def test_short_notes_do_not_wait_for_a_long_note_that_came_first():
    scheduler = Scheduler(max_rows=4, max_tokens=1_000_000)
    scheduler.add([continuation(scheduler, own=450, shared=420, note=note) for note in range(200)])
    scheduler.add(short := [continuation(scheduler, note=1_000)])
    tokens = 0
    while short[0].num_computed_tokens == 0:
        tokens += run(scheduler).num_tokens
    assert tokens < TURN_TOKENS + 2 * MAX_FORWARD_TOKENS


def test_an_urgent_question_goes_first():
    scheduler = Scheduler(max_rows=4, max_tokens=1_000_000)
    scheduler.add([continuation(scheduler, own=450, note=note) for note in range(50)])
    urgent = continuation(scheduler, note=1_000)
    scheduler.add([urgent], is_urgent=True)
    assert urgent in run(scheduler).continuations


def test_no_more_continuations_generate_at_a_time_than_there_are_rows():
    scheduler = Scheduler(max_rows=3, max_tokens=100_000)
    scheduler.add([continuation(scheduler, reserved=30) for _ in range(7)])
    assert len(run(scheduler, is_generation_finished=False).continuations) == 3
    assert sorted(sequence.slot for sequence in scheduler.running) == [0, 1, 2]


def test_the_slot_of_a_finished_continuation_is_reused():
    scheduler = Scheduler(max_rows=2, max_tokens=100_000)
    scheduler.add(three := [continuation(scheduler, reserved=30) for _ in range(3)])
    run(scheduler, is_generation_finished=False)
    scheduler.remove([three[0]])
    run(scheduler, is_generation_finished=False)
    assert three[2].slot == 0


def test_a_continuation_over_the_budget_runs_alone():
    scheduler = Scheduler(max_rows=8, max_tokens=10)
    scheduler.add(
        [continuation(scheduler, reserved=40, note=1), continuation(scheduler, reserved=40, note=2)]
    )
    while not scheduler.is_idle:
        assert len(run(scheduler).continuations) <= 1


sizes = st.tuples(st.integers(1, 60), st.integers(1, 300), st.integers(0, 5), st.sampled_from([0, 40, 400]))


@given(requests=st.lists(sizes, min_size=1, max_size=30), max_tokens=st.integers(1, 2_000))
def test_every_continuation_runs_once_and_never_before_its_prefix(requests, max_tokens):
    scheduler = Scheduler(max_rows=3, max_tokens=max_tokens)
    continuations = [
        continuation(scheduler, own, shared=shared, note=note, reserved=reserved)
        for own, shared, note, reserved in requests
    ]
    scheduler.add(continuations)
    done: list[Continuation] = []
    while not scheduler.is_idle:
        batch = run(scheduler)
        assert batch.chunks
        assert all(
            sequence.prefix.is_computed or sequence.prefix.num_continuations == 0
            for sequence in batch.continuations
        )
        done += batch.continuations
    assert set(done) == set(continuations)
    assert len(done) == len(continuations)
