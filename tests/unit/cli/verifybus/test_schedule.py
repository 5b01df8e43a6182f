"""The schedule of faults of kfn verify-bus."""

from itertools import pairwise

import pytest

from cli.verifybus.schedule import HOLD, KINDS, LONG, Fault, schedule

ALL = tuple(KINDS)


class TestASchedule:
    def test_is_the_same_for_the_same_seed(self) -> None:
        assert schedule(7, 60, ALL) == schedule(7, 60, ALL)
        assert schedule(7, 60, ALL) != schedule(8, 60, ALL)

    def test_has_every_kind_before_any_comes_again(self) -> None:
        for seed in range(50):
            kinds = [fault.kind for fault in schedule(seed, 60, ALL)]
            assert set(kinds[: len(ALL)]) == set(ALL)
            assert len(kinds) > len(ALL) + 5

    def test_rests_seldom(self) -> None:
        for seed in range(50):
            rests = [fault.at for fault in schedule(seed, 600, ALL) if fault.kind == "scale"]
            assert len(rests) >= 5
            assert all(later - earlier >= 45 for earlier, later in pairwise(rests))

    def test_is_in_order_and_over_before_the_end(self) -> None:
        for seed in range(50):
            faults = schedule(seed, 60, ALL)
            assert [f.at for f in faults] == sorted(f.at for f in faults)
            assert all(0 < f.at < 60 and f.at + f.hold <= 60.2 for f in faults)

    def test_holds_only_what_lasts(self) -> None:
        for fault in schedule(1, 60, ALL):
            assert (fault.hold > 0) == (fault.kind in HOLD)

    def test_of_a_long_run_has_one_pause_that_is_longer_than_ack_wait(self) -> None:
        for seed in range(20):
            faults = schedule(seed, 600, ALL)
            (long,) = (f for f in faults if f.hold == LONG)
            assert not [f for f in faults if long.at < f.at < long.at + LONG], "a kill meanwhile would end it"
            assert LONG not in [f.hold for f in schedule(seed, 60, ALL)]

    def test_takes_only_the_kinds_asked_for(self) -> None:
        assert {f.kind for f in schedule(1, 60, ("cut",))} == {"cut"}
        assert schedule(1, 60, ()) == ()

    def test_refuses_a_kind_that_does_not_exist(self) -> None:
        with pytest.raises(ValueError, match="no fault 'kill-nat'; there are: kill-nats"):
            schedule(1, 60, ("kill-nat",))

    def test_is_written_so_that_a_person_can_read_it(self) -> None:
        assert [str(Fault(3, "cut")), str(Fault(4.25, "stop-nats", 1.5))] == ["3.0 cut", "4.2 stop-nats for 1.5"]
