"""The scheduler, without a network: turns, slots, budgets, and beginnings that are read once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.engine.batching.fair_queue import TURN_TOKENS
from worker.engine.batching.prefix_cache import MAX_UNUSED_TOKENS
from worker.engine.batching.scheduler import MAX_FORWARD_TOKENS, Scheduler
from worker.engine.batching.sequences import CacheCopy, Continuation, ForwardBatch, Prefix


def continuation(
    scheduler: Scheduler, own: int = 10, *, shared: int = 20, note: int = 7, kept: int = 0
) -> Continuation:
    prefix = scheduler.prefix_cache.find([note] * shared, uses_adapter=False)
    return Continuation(prefix, [1] * own, logit_indexes=(own - 1,), reserved_tokens=kept)


def run(scheduler: Scheduler, *, is_writing_over: bool = True) -> ForwardBatch:
    """One step as the engine takes it: what decides is done with it, what writes goes on or ends."""
    step = scheduler.schedule()
    for chunk in step.chunks:
        chunk.sequence.num_computed_tokens = chunk.stop
    scheduler.remove([one for one in step.continuations if is_writing_over or not one.is_generated])
    return step


def read(step: ForwardBatch) -> int:
    return sum(chunk.num_tokens for chunk in step.chunks if isinstance(chunk.sequence, Prefix))


def test_a_beginning_is_read_once_and_its_branches_go_in_the_same_step():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([continuation(scheduler) for _ in range(5)])
    step = run(scheduler)
    assert read(step) == 20
    assert len(step.continuations) == 5
    assert scheduler.is_idle


def asked_apart(scheduler: Scheduler, note: int, question: int, *, position: int = 512) -> Continuation:
    """Both begin with the same head of 20 tokens."""
    head = [5] * 20
    prefix = scheduler.prefix_cache.find([*head, *[note] * 30], uses_adapter=False)
    asked = scheduler.prefix_cache.find(
        [*head, *[question] * 9], uses_adapter=False, head_tokens=20, start_position=position
    )
    return Continuation(prefix, [1] * 10, logit_indexes=(9,), question_prefix=asked)


def test_a_question_that_is_read_apart_is_read_once_for_all_notes():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([asked_apart(scheduler, note, 2) for note in (6, 7)])
    assert read(run(scheduler)) == 29 + 2 * 50
    scheduler.add([asked_apart(scheduler, 8, 2)])
    step = run(scheduler)
    assert read(step) == 30
    assert [one.num_tokens for one in step.copies] == [20]
    assert scheduler.is_idle


def test_questions_and_notes_have_no_more_in_common_than_what_stands_at_the_same_places():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([asked_apart(scheduler, 6, 2)])
    run(scheduler)
    scheduler.add([asked_apart(scheduler, 2, 2)])  # a note that reads as the question
    assert read(run(scheduler)) == 30
    scheduler.add([asked_apart(scheduler, 2, 2, position=1_024)])
    assert read(run(scheduler)) == 9


def test_where_what_follows_stands():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    one = asked_apart(scheduler, 6, 2)
    assert one.question_prefix.position_ids(18, 22) == [18, 19, 512, 513]
    assert one.position_ids(0, 2) == range(521, 523)
    assert one.num_prefix_tokens == 59
    assert continuation(scheduler).position_ids(0, 2) == range(20, 22)


def test_a_later_question_on_a_note_finds_its_beginning_read():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([continuation(scheduler)])
    run(scheduler)
    scheduler.add([continuation(scheduler)])
    assert read(run(scheduler)) == 0


def starting(scheduler: Scheduler, tokens: list[int], *, uses_adapter: bool = False) -> Continuation:
    prefix = scheduler.prefix_cache.find(tokens, uses_adapter=uses_adapter)
    return Continuation(prefix, [1] * 10, logit_indexes=(9,))


def test_a_beginning_that_starts_as_another_takes_over_what_is_read_of_it():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([starting(scheduler, [5] * 40 + [6] * 60)])
    assert run(scheduler).copies == ()
    scheduler.add([other := starting(scheduler, [5] * 40 + [7] * 30)])
    step = run(scheduler)
    assert step.copies == (CacheCopy(source=0, target=other.prefix.cache_start, num_tokens=40),)
    assert read(step) == 30
    assert run(scheduler).copies == ()


def test_a_beginning_waits_a_step_for_what_is_being_read_of_it():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([starting(scheduler, [5] * 200 + [one] * 60) for one in (6, 7)])
    scheduler.add([starting(scheduler, [8] * 30)])
    first, then = run(scheduler), run(scheduler)
    assert [read(step) for step in (first, then)] == [260, 60 + 30]
    assert [one.num_tokens for one in then.copies] == [200]
    assert scheduler.is_idle


def test_nothing_is_taken_over_from_what_is_not_read_or_read_with_the_adapter_or_hardly_alike():
    scheduler = Scheduler(max_rows=4, max_tokens=10_000)
    scheduler.add([starting(scheduler, [5] * 40 + [one]) for one in (6, 7)])
    scheduler.add(
        [starting(scheduler, [5] * 40, uses_adapter=True), starting(scheduler, [5] * 15 + [8] * 25)]
    )
    step = run(scheduler)
    assert step.copies == ()
    assert read(step) == 2 * 41 + 2 * 40


def test_beginnings_that_nobody_needs_are_forgotten_before_the_cache_is_full_of_them():
    scheduler = Scheduler(max_rows=4, max_tokens=100_000)
    for note in range(100):
        scheduler.add([continuation(scheduler, note=note, shared=500)])
        run(scheduler)
    assert scheduler.prefix_cache.end <= MAX_UNUSED_TOKENS + 500


def test_a_long_beginning_is_read_in_parts_while_writing_goes_on():
    scheduler = Scheduler(max_rows=4, max_tokens=100_000)
    writing = continuation(scheduler, kept=50)
    scheduler.add([writing])
    run(scheduler, is_writing_over=False)
    scheduler.add([continuation(scheduler, shared=3 * MAX_FORWARD_TOKENS, note=8)])
    writing.tokens.append(1)
    step = run(scheduler, is_writing_over=False)
    assert {chunk.sequence: chunk.num_tokens for chunk in step.chunks}[writing] == 1
    assert step.num_tokens == MAX_FORWARD_TOKENS


def test_short_notes_do_not_wait_for_a_long_one_that_came_first():
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


def test_no_more_branches_write_at_a_time_than_there_are_rows():
    scheduler = Scheduler(max_rows=3, max_tokens=100_000)
    scheduler.add([continuation(scheduler, kept=30) for _ in range(7)])
    assert len(run(scheduler, is_writing_over=False).continuations) == 3
    assert sorted(one.slot for one in scheduler.running) == [0, 1, 2]


def test_the_slot_of_one_that_is_done_is_the_next_ones():
    scheduler = Scheduler(max_rows=2, max_tokens=100_000)
    scheduler.add(three := [continuation(scheduler, kept=30) for _ in range(3)])
    run(scheduler, is_writing_over=False)
    scheduler.remove([three[0]])
    run(scheduler, is_writing_over=False)
    assert three[2].slot == 0


def test_what_is_over_the_budget_runs_alone_rather_than_never():
    scheduler = Scheduler(max_rows=8, max_tokens=10)
    scheduler.add([continuation(scheduler, kept=40, note=1), continuation(scheduler, kept=40, note=2)])
    while not scheduler.is_idle:
        assert len(run(scheduler).continuations) <= 1


sizes = st.tuples(st.integers(1, 60), st.integers(1, 300), st.integers(0, 5), st.sampled_from([0, 40, 400]))


@given(asked=st.lists(sizes, min_size=1, max_size=30), max_tokens=st.integers(1, 2_000))
def test_every_branch_gets_its_turn_and_never_before_its_beginning_is_read(asked, max_tokens):
    scheduler = Scheduler(max_rows=3, max_tokens=max_tokens)
    continuations = [
        continuation(scheduler, own, shared=shared, note=note, kept=kept) for own, shared, note, kept in asked
    ]
    scheduler.add(continuations)
    done: list[Continuation] = []
    while not scheduler.is_idle:
        step = run(scheduler)
        assert step.chunks
        assert all(one.prefix.is_computed or one.prefix.num_continuations == 0 for one in step.continuations)
        done += step.continuations
    assert set(done) == set(continuations)
    assert len(done) == len(continuations)
