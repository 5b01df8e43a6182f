"""The decision: Knative's arithmetic, and what kfn adds on the way from and to zero."""

import math
from dataclasses import replace
from typing import Any

import pytest

from autoscaler.decide import Decision, Memory, Observation, decide, starting
from autoscaler.policy import Policy

POLICY = Policy(target=10, capacity=10)
CALM = 3600.0  # quiet for longer than any window here


def seen(load: float | None = 0.0, panic: float | None = None, *, ready: int = 1, replicas: int | None = None, **more: Any) -> Observation:
    quiet = CALM if not load else 0.0
    return Observation(
        load, load if panic is None else panic, ready, ready if replicas is None else replicas, **{"quiet_for": quiet, **more}
    )


def once(policy: Policy, observation: Observation, memory: Memory | None = None, now: float = 0.0) -> Decision:
    return decide(policy, observation, memory or Memory(), now)[0]


class TestStable:
    @pytest.mark.parametrize(
        ("observation", "replicas"),
        [
            pytest.param(seen(0, ready=0), 0, id="idle-stays-at-zero"),
            pytest.param(seen(15), 2, id="rounds-up"),
            pytest.param(seen(20), 2, id="exact-fits"),
            pytest.param(seen(0.001), 1, id="any-load-needs-one"),
            pytest.param(seen(0, ready=1), 0, id="one-goes-to-zero"),
            pytest.param(seen(1, ready=8), 4, id="halves-at-most"),
            pytest.param(seen(1, ready=9), 4, id="half-rounds-down"),
            pytest.param(seen(1, ready=8, reachable=False), 1, id="unreachable-needs-no-steps"),
            pytest.param(seen(0, ready=8), 0, id="an-empty-window-needs-no-steps"),
            pytest.param(seen(0, ready=8, quiet_for=30.0), 4, id="a-window-that-has-not-passed-does"),
            pytest.param(seen(1, ready=3), 1, id="shrinks-by-steps"),
        ],
    )
    def test_scale_follows_load(self, observation: Observation, replicas: int) -> None:
        assert once(POLICY, observation).replicas == replicas

    def test_one_step_grows_by_the_rate_at_most_and_by_one_at_least(self) -> None:
        slow = replace(POLICY, target=1, max_scale_up_rate=1.1)
        assert once(slow, seen(30, ready=10)).replicas == 11
        assert once(slow, seen(3, ready=2)).replicas == 3

    def test_the_reason_is_the_arithmetic(self) -> None:
        assert once(POLICY, seen(15, ready=2)).because == "concurrency 15 over 60s at target 10: needs 2"
        assert "at most by 2 in one step: 4" in once(POLICY, seen(1, ready=8)).because


class TestPanic:
    def test_panic_holds_the_peak_until_a_stable_window_passes(self) -> None:
        memory = Memory()
        got: list[tuple[int, bool]] = []
        for now, stable, panic in [(0, 10, 10), (2, 12, 40), (4, 14, 5), (62, 10, 5), (63, 10, 5)]:
            decision, memory = decide(POLICY, seen(stable, panic), memory, now)
            got.append((decision.replicas, decision.panicking))
        assert got == [(1, False), (4, True), (4, True), (4, True), (1, False)]

    def test_more_panic_extends_it_and_raises_the_peak(self) -> None:
        _, memory = decide(POLICY, seen(0, 40), Memory(), 0)
        decision, memory = decide(POLICY, seen(0, 80), memory, 50)
        assert (decision.replicas, memory.panic_since) == (8, 50)
        assert once(POLICY, seen(0, 1), memory, 109).panicking

    def test_a_window_without_any_load_ends_it(self) -> None:
        _, memory = decide(POLICY, seen(80, 160, ready=8), Memory(), 5)
        assert memory.panic_peak == 16
        decision, memory = decide(POLICY, seen(0, 0, ready=8), memory, 60)
        assert (decision.replicas, decision.panicking, memory) == (0, False, Memory(zero_since=60))

    @pytest.mark.parametrize(("panic", "panics"), [(39, False), (40.5, True)])
    def test_the_threshold_counts_against_what_is_ready(self, panic: float, panics: bool) -> None:
        assert once(replace(POLICY, panic_threshold=2.5), seen(10, panic, ready=2)).panicking is panics

    def test_a_restart_with_several_instances_begins_in_panic(self) -> None:
        assert starting(1, 1, 5) == Memory()
        memory = starting(4, 5, 5)
        assert once(POLICY, seen(1, ready=5), memory, 6).replicas == 5
        assert once(POLICY, seen(1, ready=5), memory, 66).replicas == 2


class TestFromZero:
    def test_a_waiting_request_needs_one(self) -> None:
        decision = once(POLICY, seen(0, ready=0, waiting=1))
        assert (decision.replicas, decision.panicking) == (1, False)
        assert "1 waiting" in decision.because

    def test_many_waiting_requests_need_many_at_once_and_panic(self) -> None:
        decision = once(POLICY, seen(None, ready=0, waiting=200, quiet_for=0.0))
        assert (decision.replicas, decision.panicking) == (20, True)

    def test_activation_scale_is_the_least_when_not_zero(self) -> None:
        policy = replace(POLICY, activation_scale=3)
        assert once(policy, seen(0, ready=0, waiting=1)).replicas == 3
        assert once(policy, seen(1, ready=3)).replicas == 3
        assert once(policy, seen(0, ready=1)).replicas == 0

    def test_max_scale_bounds_a_burst(self) -> None:
        assert once(replace(POLICY, max_scale=5), seen(0, ready=0, waiting=200)).replicas == 5


class TestToZero:
    def test_not_before_the_window_is_empty(self) -> None:
        assert once(POLICY, seen(0, quiet_for=59.9)).replicas == 1
        assert once(POLICY, seen(0, quiet_for=60.0)).replicas == 0

    def test_without_data_what_runs_is_held(self) -> None:
        decision = once(POLICY, seen(None, ready=3, quiet_for=10.0))
        assert (decision.replicas, decision.because) == (3, "no data yet, holds 3")

    def test_retention_keeps_the_last_instance(self) -> None:
        policy = replace(POLICY, zero_hold=30)
        memory = Memory()
        got = []
        for now in (0, 29, 30):
            decision, memory = decide(policy, seen(0), memory, now)
            got.append(decision.replicas)
        assert got == [1, 1, 0]

    def test_load_in_between_begins_retention_anew(self) -> None:
        policy = replace(POLICY, zero_hold=30)
        _, memory = decide(policy, seen(0), Memory(), 0)
        _, memory = decide(policy, seen(1), memory, 20)
        assert once(policy, seen(0), memory, 40).replicas == 1

    def test_scale_down_delay_holds_the_most_that_was_wanted(self) -> None:
        policy = replace(POLICY, scale_down_delay=10)
        memory = Memory()
        got = []
        for now, load in [(0, 35), (2, 15), (4, 25), (9, 5), (10, 5), (13, 5), (14, 5)]:
            decision, memory = decide(policy, seen(load, 0, ready=4), memory, now)
            got.append(decision.replicas)
        assert got == [4, 4, 4, 4, 3, 3, 2]
        assert len(memory.recent) <= 4

    def test_it_can_be_turned_off(self) -> None:
        assert once(replace(POLICY, scale_to_zero=False), seen(0)).replicas == 1


class TestBounds:
    def test_min_scale_holds_while_reachable(self) -> None:
        policy = replace(POLICY, min_scale=2)
        assert once(policy, seen(0, ready=0)).replicas == 2
        assert once(policy, seen(0, ready=0, reachable=False)).replicas == 0

    def test_initial_scale_holds_until_first_ready(self) -> None:
        policy = replace(POLICY, initial_scale=3)
        assert once(policy, seen(0, ready=0, replicas=3, initialized=False)).replicas == 3
        assert once(policy, seen(0, ready=1, replicas=3)).replicas == 0

    def test_max_scale_wins(self) -> None:
        assert once(replace(POLICY, max_scale=2), seen(100)).replicas == 2


class TestGivingUp:
    def test_what_never_became_ready_is_stopped_once_the_controller_has_had_time_to_say_why(self) -> None:
        policy = replace(POLICY, min_scale=1)
        stalled = seen(0, ready=0, replicas=1, initialized=False, stalled_for=604.0)
        assert once(policy, stalled).replicas == 1
        decision, memory = decide(policy, replace(stalled, stalled_for=605.0), Memory(), 0)
        assert (decision.replicas, "not ready within 600s" in decision.because) == (0, True)
        assert once(policy, replace(stalled, replicas=0, stalled_for=0.0), memory).replicas == 0, "and it stays stopped"

    def test_the_next_request_tries_again(self) -> None:
        assert once(POLICY, seen(0, ready=0, waiting=1), Memory(gave_up=True)).replicas == 1

    def test_an_outage_does_not_stop_what_has_a_min_scale_and_has_been_ready(self) -> None:
        assert once(replace(POLICY, min_scale=2), seen(5, ready=0, replicas=2, stalled_for=9999.0)).replicas == 2


def test_decisions_are_bounded_whatever_is_seen() -> None:
    """Over a grid: never negative, never over max-scale, never zero while load is there, and the same again for the same input."""
    policy = replace(POLICY, max_scale=7)
    for load in (0.0, 0.1, 9.0, 10.0, 65.0, 1e6):
        for panic in (0.0, 5.0, 300.0):
            for ready in (0, 1, 5, 40):
                for waiting in (0, 1, 500):
                    observation = seen(load, panic, ready=ready, waiting=waiting)
                    decision = once(policy, observation)
                    assert decision == once(policy, observation)
                    assert 0 <= decision.replicas <= 7
                    assert decision.replicas >= min(7, math.ceil(load / 10), 1) or not load
                    assert decision.because


class TestTheFirstWave:
    """Instances that start at once share their nodes' processors: a quarter first, the rest when one is ready or after a second."""

    policy = Policy(capacity=10, target=7, first_wave=0.25, wave=1.0)

    def wanted(
        self, *, ready: int = 0, replicas: int = 0, waiting: int = 200, stalled_for: float = 0.0, policy: Policy | None = None
    ) -> int:
        seen = Observation(None, None, ready, replicas, waiting=waiting, stalled_for=stalled_for)
        decision, memory = decide(policy or self.policy, seen, Memory(), 100.0)
        assert memory.panic_peak <= decision.replicas, "what was not asked for is not held"
        return decision.replicas

    def test_is_a_part_of_many(self) -> None:
        assert [self.wanted(), self.wanted(replicas=1, stalled_for=0.01), self.wanted(replicas=5, stalled_for=0.9)] == [5, 5, 5]

    def test_is_all_of_one_and_is_never_less_than_there_is(self) -> None:
        assert [self.wanted(waiting=1), self.wanted(waiting=11), self.wanted(replicas=9, stalled_for=0.5)] == [1, 1, 9]

    def test_is_over_when_one_is_ready_or_it_takes_too_long(self) -> None:
        assert [self.wanted(replicas=5, ready=1), self.wanted(replicas=5, stalled_for=1.0)] == [20, 20]

    def test_is_at_least_what_the_revision_asks_for(self) -> None:
        assert self.wanted(policy=replace(self.policy, activation_scale=8)) == 8
        assert self.wanted(policy=replace(self.policy, min_scale=12)) == 12

    def test_is_everything_where_nothing_else_is_said(self) -> None:
        assert self.wanted(policy=replace(self.policy, first_wave=1.0)) == 20
