"""The work queue, with a clock in the test's hand."""

import random
from collections import Counter

import pytest

from cluster.queue.messages import NO_SHEET, Death, SpecRef, StepReport, WorkerCard
from cluster.queue.queue import ASKS_PER_S, MAX_DEATHS, REPORTS_PER_S, WorkQueue
from cluster.queue.views import JobView


class Clock:
    """Goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, queue: WorkQueue, seconds: float, *beating: WorkerCard) -> None:
        """Let time go in small steps, while these workers keep beating for what they have."""
        for _ in range(round(seconds)):
            self.now += 1.0
            for card in beating:
                queue.beat(card, held_by(queue, card))


def card(name: str, seat: int = 0, crew: str = "crew") -> WorkerCard:
    return WorkerCard(id=name, crew=crew, seat=seat)


def specs(*names: str) -> list[SpecRef]:
    return [SpecRef(f"fp-{name}", name, 0, index) for index, name in enumerate(names)]


def held_by(queue: WorkQueue, worker: WorkerCard) -> list[str]:
    return [f"fp-{name}" for one in queue.view().workers if one.card == worker for name in one.leases]


def job(queue: WorkQueue, job_id: str = "job") -> JobView:
    return next(view for view in queue.view().jobs if view.job_id == job_id)


def counts(queue: WorkQueue, job_id: str = "job") -> dict[str, int]:
    return {state: count for state, count in job(queue, job_id).counts.items() if count}


def take(queue: WorkQueue, worker: WorkerCard, request: int) -> str | None:
    lease = queue.take(worker, request).lease
    return lease.name if lease else None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    queue = WorkQueue(clock, lease_s=30.0)
    queue.open_job("job")
    queue.add("job", specs("a", "b", "c"))
    return queue


def test_specs_are_handed_out_in_order_each_to_one_worker(queue: WorkQueue) -> None:
    one, two = card("one", 0), card("two", 1)
    assert [take(queue, one, 0), take(queue, two, 0), take(queue, one, 1), take(queue, two, 1)] == ["a", "b", "c", None]
    assert counts(queue) == {"leased": 3}


def test_a_worker_that_lost_the_answer_gets_the_same_lease_again(queue: WorkQueue) -> None:
    one = card("one")
    assert take(queue, one, 0) == take(queue, one, 0) == "a"
    assert take(queue, one, 1) == "b"


def test_the_specs_of_a_silent_worker_are_handed_out_again_and_those_of_a_beating_one_are_not(
    queue: WorkQueue, clock: Clock
) -> None:
    silent, beating = card("silent", 0), card("beating", 1)
    assert (take(queue, silent, 0), take(queue, beating, 0)) == ("a", "b")
    clock.pass_by(queue, 31, beating)
    assert take(queue, beating, 1) == "a"
    assert held_by(queue, beating) == ["fp-a", "fp-b"]
    assert queue.view().expiries == 1


def test_time_in_which_the_queue_itself_stood_still_is_nobodys_silence(queue: WorkQueue, clock: Clock) -> None:
    one = card("one")
    take(queue, one, 0)
    clock.now += 500.0
    assert queue.beat(one, ["fp-a"]).lost == frozenset()
    assert queue.view().expiries == 0


def test_a_worker_that_comes_back_late_loses_what_others_have_and_keeps_what_nobody_has(
    queue: WorkQueue, clock: Clock
) -> None:
    late, other = card("late", 0), card("other", 1)
    assert (take(queue, late, 0), take(queue, late, 1)) == ("a", "b")
    clock.pass_by(queue, 31, other)
    taken = take(queue, other, 0)
    orders = queue.beat(late, ["fp-a", "fp-b"])
    assert orders.lost == {f"fp-{taken}"}
    assert held_by(queue, late) == [f"fp-{'b' if taken == 'a' else 'a'}"]


def test_a_replacement_on_the_same_seat_frees_what_its_predecessor_had(queue: WorkQueue) -> None:
    take(queue, card("first", 3), 0)
    assert take(queue, card("second", 3), 0) == "a"


def test_finishing_twice_counts_once_and_whoever_finishes_is_believed(queue: WorkQueue) -> None:
    one, two = card("one", 0), card("two", 1)
    take(queue, one, 0)
    queue.finish("two", "fp-a", 7)
    queue.finish("one", "fp-a", 7)
    assert counts(queue) == {"waiting": 2, "done": 1}
    assert queue.beat(one, ["fp-a"]).lost == {"fp-a"}
    assert take(queue, two, 0) == "b"


def test_a_spec_that_killed_three_workers_is_set_aside_with_the_evidence_and_the_rest_goes_on(queue: WorkQueue) -> None:
    for number in range(3):
        worker = card(f"w{number}", 0)
        assert take(queue, worker, 0) == "a"
        queue.report(worker.id, "fp-a", StepReport(10 + number, 100, 0.5, 40, 1.0, "training"))
        queue.leave(worker.id, "SIGSEGV")
    assert counts(queue) == {"waiting": 2, "failed": 1}
    failed = [event for event in queue.view().events if event.kind == "failed"]
    assert [death.step for death in failed[0].deaths] == [10, 11, 12]
    assert "poisoned" in failed[0].text
    assert take(queue, card("w3", 0), 0) == "b"


def test_what_a_dead_worker_had_not_saved_is_counted_when_the_next_one_makes_it_again(queue: WorkQueue) -> None:
    assert take(queue, card("first"), 0) == "a"
    queue.report("first", "fp-a", StepReport(14, 100, 0.5, 56, 3.0, "training"))
    assert take(queue, card("second"), 0) == "a"
    queue.report("second", "fp-a", StepReport(12, 100, None, 48, 2.5, "started"))
    assert queue.view().repeated_passes == 8
    assert "at step 12; 8 sample passes are made again" in [event.text for event in queue.view().events]
    queue.report("second", "fp-a", StepReport(13, 100, 0.5, 52, 2.8, "training"))
    assert queue.view().repeated_passes == 8


def test_before_its_last_chance_a_spec_is_trained_alone_so_that_neighbours_are_not_blamed(queue: WorkQueue) -> None:
    for number in range(2):
        worker = card(f"w{number}")
        assert {take(queue, worker, 0), take(queue, worker, 1)} == {"a", "b"}
        queue.leave(worker.id, "SIGSEGV")
    worker = card("w2")
    assert take(queue, worker, 0) in {"a", "b"}
    assert take(queue, worker, 1) is None
    assert take(queue, card("w3", 1), 0) is not None


def test_handing_back_is_no_death(queue: WorkQueue) -> None:
    for number in range(5):
        worker = card(f"w{number}")
        assert take(queue, worker, 0) == "a"
        queue.leave(worker.id)
    assert counts(queue) == {"waiting": 3}


def test_a_guess_is_leased_beside_other_work_and_whoever_has_it_gets_nothing_more(clock: Clock) -> None:
    queue = WorkQueue(clock)
    a, b = card("a"), card("b", 1)
    queue.open_job("concepts")
    queue.add("concepts", specs("one", "two", "three", "four"))
    clock.now += 1.0
    queue.open_job("guess")
    queue.add("guess", [SpecRef("fp-guess", "guess", NO_SHEET, 0)])
    assert [take(queue, a, request) for request in range(3)] == ["one", "guess", None]
    assert [take(queue, b, request) for request in range(2)] == ["two", "three"]
    assert queue.beat(a, held_by(queue, a)).others_wait
    queue.finish(a.id, "fp-guess", None)
    assert (counts(queue, "guess"), take(queue, a, 3)) == ({"done": 1}, "four")
    assert not queue.beat(a, held_by(queue, a)).others_wait


def test_a_guess_that_is_handed_back_lets_other_jobs_go_first_and_comes_before_their_second(clock: Clock) -> None:
    queue, a = WorkQueue(clock), card("a")
    queue.open_job("guess")
    queue.add("guess", [SpecRef("fp-guess", "guess", NO_SHEET, 0)])
    clock.now += 1.0
    assert take(queue, a, 0) == "guess"
    queue.open_job("concepts")
    queue.add("concepts", specs("one", "two"))
    clock.now += 1.0
    queue.hand_back(a.id, ["fp-guess"])
    assert [take(queue, a, request) for request in range(1, 4)] == ["one", "guess", None]


def test_an_error_is_tried_again_as_often_as_the_table_says_and_then_given_up(queue: WorkQueue) -> None:
    one = card("one")
    answers = []
    for request in range(9):
        if take(queue, one, request) == "a":
            answers.append(queue.fail("one", "fp-a", "training_failed", "no luck"))
        else:
            queue.hand_back("one", held_by(queue, one))
            queue.finish("one", "fp-b", 1)
            queue.finish("one", "fp-c", 1)
    assert answers == [False, False, True]
    assert counts(queue) == {"done": 2, "failed": 1}


def test_a_wrong_picture_is_given_up_at_once(queue: WorkQueue) -> None:
    take(queue, card("one"), 0)
    assert queue.fail("one", "fp-a", "invalid_image", "no picture")


def test_a_worker_gets_something_as_long_as_anything_waits_whatever_happens(clock: Clock) -> None:
    queue, chance = WorkQueue(clock, max_deaths=10**9), random.Random(7)
    for number in range(5):
        queue.open_job(f"job{number}", priority=number % 2)
        queue.add(f"job{number}", specs(*(f"{spec}" for spec in range(number * 20, number * 20 + 40))))
    held: dict[int, list[str]] = {seat: [] for seat in range(6)}
    lives = Counter[int]()
    for request in range(1500):
        clock.now += 0.1
        seat = chance.randrange(6)
        worker = card(f"{seat}-{lives[seat]}", seat)
        waiting = queue.view().waiting
        lease = queue.take(worker, request).lease
        assert (lease is None) == (waiting == 0)
        held[seat] += [lease.fingerprint] if lease else []
        if chance.random() < 0.1:
            queue.leave(worker.id, "SIGKILL")
            held[seat], lives[seat] = [], lives[seat] + 1
        elif held[seat] and chance.random() < 0.3:
            queue.finish(worker.id, held[seat].pop(), 1)
        if request % 50 == 0:
            queue.open_job(f"job{request % 5}", priority=chance.randrange(3))
    done = {view.job_id: view.counts["done"] for view in queue.view().jobs}
    assert sum(done.values()) > 100


def test_workers_that_find_nothing_ask_less_often_the_more_they_are(clock: Clock) -> None:
    queue = WorkQueue(clock)
    waits = [queue.take(card(f"w{number}", number), 0).wait_s for number in range(1000)]
    assert waits[0] < 0.01
    assert waits[-1] == 1000 / ASKS_PER_S


def test_the_more_concepts_are_learned_at_once_the_less_often_each_is_spoken_of(clock: Clock) -> None:
    queue = WorkQueue(clock)
    queue.open_job("job")
    queue.add("job", specs(*(f"c{number}" for number in range(1000))))
    for number in range(1000):
        queue.take(card("one"), number)
    assert queue.beat(card("one"), held_by(queue, card("one"))).report_every_s == 1000 / REPORTS_PER_S


def test_jobs_of_equal_priority_share_and_a_higher_one_goes_first(clock: Clock) -> None:
    queue = WorkQueue(clock)
    for job_id in ("big", "small", "urgent"):
        queue.open_job(job_id, priority=5 if job_id == "urgent" else 0)
        clock.now += 1
    queue.add("big", specs(*(f"big{number}" for number in range(20))))
    queue.add("small", specs("small0", "small1", "small2"))
    queue.add("urgent", specs("urgent0"))
    names = [take(queue, card("one"), request) or "" for request in range(7)]
    assert names[0] == "urgent0"
    assert Counter(name.rstrip("0123456789") for name in names[1:]) == {"big": 3, "small": 3}


def test_a_spec_of_two_jobs_is_trained_once_and_counts_for_both(queue: WorkQueue) -> None:
    queue.open_job("other")
    queue.add("other", specs("a"))
    one = card("one")
    assert [take(queue, one, request) for request in range(4)].count("a") == 1
    queue.finish("one", "fp-a", 2)
    assert counts(queue, "other") == {"done": 1}
    assert counts(queue)["done"] == 1


def test_a_cancelled_spec_is_dropped_by_its_worker_unless_another_job_wants_it(queue: WorkQueue) -> None:
    queue.open_job("other")
    queue.add("other", specs("a"))
    one = card("one")
    assert (take(queue, one, 0), take(queue, one, 1)) == ("a", "b")
    queue.open_job("job", keep_rows=True)
    queue.add("job", specs("a", "b", "c"), dict.fromkeys(("fp-a", "fp-b", "fp-c"), "cancelled"))
    orders = queue.beat(one, ["fp-a", "fp-b"])
    assert orders.cancelled == {"fp-b"}
    assert orders.keep_rows
    assert queue.fail("one", "fp-b", "cancelled", "somebody cancelled it")
    assert counts(queue) == {"cancelled": 3}
    assert counts(queue, "other") == {"leased": 1}


def test_what_was_cancelled_or_failed_is_handed_out_again_when_the_job_says_so(queue: WorkQueue) -> None:
    take(queue, card("one"), 0)
    queue.fail("one", "fp-a", "invalid_image", "no picture")
    queue.add("job", specs("a", "b", "c"), {"fp-a": "failed", "fp-b": "cancelled", "fp-c": "cancelled"})
    assert counts(queue) == {"failed": 1, "cancelled": 2}
    queue.add("job", specs("a", "b", "c"))
    assert counts(queue) == {"waiting": 3}
    assert {take(queue, card("one"), request) for request in range(1, 4)} == {"a", "b", "c"}


def test_what_is_done_already_is_not_handed_out(clock: Clock) -> None:
    queue = WorkQueue(clock)
    queue.open_job("job")
    queue.add("job", specs("a", "b"), {"fp-a": "done"})
    assert take(queue, card("one"), 0) == "b"
    assert take(queue, card("one"), 1) is None


def test_a_dismissed_crew_gets_nothing_and_hears_of_it_with_its_heartbeat(queue: WorkQueue) -> None:
    one = card("one")
    take(queue, one, 0)
    queue.dismiss(["crew"])
    assert queue.take(one, 1).dismissed
    assert queue.beat(one, ["fp-a"]).dismissed
    assert take(queue, card("two", crew="other crew"), 0) == "b"


def test_a_queue_that_was_restarted_learns_from_heartbeats_what_living_workers_have(clock: Clock) -> None:
    queue = WorkQueue(clock, lease_s=30.0, hold_s=15.0)
    living, other = card("living", 0), card("other", 1)
    assert queue.beat(living, ["fp-a"]).lost == frozenset()
    queue.open_job("job")
    queue.add("job", specs("a", "b"))
    assert take(queue, other, 0) is None
    queue.beat(living, ["fp-a"])
    clock.pass_by(queue, 16, living, other)
    assert [take(queue, other, request) for request in (1, 2)] == ["b", None]
    assert held_by(queue, living) == ["fp-a"]


def test_a_result_that_arrives_before_the_job_is_known_again_is_not_lost(clock: Clock) -> None:
    queue = WorkQueue(clock)
    queue.finish("one", "fp-a", 4)
    queue.open_job("job")
    queue.add("job", specs("a"))
    assert counts(queue) == {"done": 1}


def test_workers_that_die_before_they_have_work_are_told_of_until_one_has_some(queue: WorkQueue) -> None:
    for number in range(2):
        queue.beat(card(f"w{number}"), ())
        queue.leave(f"w{number}", "the base model cannot be read")
    assert len(queue.view().failed_starts) == 2
    take(queue, card("w2"), 0)
    assert queue.view().failed_starts == ()


def test_events_are_given_from_a_number_on(queue: WorkQueue) -> None:
    take(queue, card("one"), 0)
    queue.finish("one", "fp-a", 1)
    view = queue.view()
    assert [(event.kind, event.name) for event in view.events] == [("leased", "a"), ("done", "a")]
    assert [event.kind for event in queue.view(1).events] == ["done"]
    assert queue.view(view.num_events).events == ()


def test_what_nobody_has_asked_for_is_left_to_the_driver_and_what_a_worker_does_not_have_is_not_its_to_say(
    queue: WorkQueue,
) -> None:
    assert queue.add("not open", specs("a")) == frozenset()
    take(queue, card("one"), 0)
    queue.report("two", "fp-a", StepReport(3, 9, 0.1, 3, 1.0, "training"))
    assert not queue.fail("two", "fp-a", "invalid_image", "no picture")
    assert not queue.fail("two", "fp-unheard-of", "invalid_image", "no picture")
    (held,) = [one for one in job(queue).specs if one.name == "a"]
    assert (held.state, held.report) == ("leased", None)


def test_a_job_that_is_closed_leaves_what_others_want_and_what_is_being_trained(queue: WorkQueue) -> None:
    queue.open_job("other")
    queue.add("other", specs("b"))
    one = card("one")
    assert take(queue, one, 0) == "a"
    queue.close_job("job")
    queue.close_job("job")
    assert [view.job_id for view in queue.view().jobs] == ["other"]
    assert queue.beat(one, ["fp-a"]).lost == frozenset()  # what is half learned may be finished
    queue.finish("one", "fp-a", 1)
    assert [event.kind for event in queue.view().events] == ["leased", "done"]
    assert [take(queue, one, request) for request in (1, 2)] == ["b", None]


def test_deaths_that_a_former_queue_saw_set_a_spec_aside(queue: WorkQueue) -> None:
    death = Death("crew/7", "node", 77, 3, "killed", 1)
    queue.recall({"fp-a": (death,) * MAX_DEATHS, "fp-unheard-of": (death,)})
    assert counts(queue) == {"failed": 1, "waiting": 2}
    assert take(queue, card("one"), 0) == "b"
