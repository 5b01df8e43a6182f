"""Averages over windows: what was reported, over the time for which it was."""

import random

import pytest

from autoscaler.windows import Load, Windows


def filled(*samples: tuple[float, float, int], period: float = 1.0, span: float = 60.0) -> Windows:
    windows = Windows(span)
    for now, concurrency, requests in samples:
        windows.record(now, period, concurrency, requests)
    return windows


def test_no_data_is_not_zero() -> None:
    assert Windows(60).average(100, 60) is None
    assert filled((100, 0, 0)).average(100, 60) == Load(0, 0)


def test_a_burst_is_not_thinned_by_time_before_the_first_sample() -> None:
    assert filled((1000, 200, 50)).average(1000, 60) == Load(200, 50)


def test_a_steady_load_is_its_own_average() -> None:
    windows = filled(*((float(t), 5.0, 3) for t in range(1, 121)))
    assert windows.average(120, 60) == Load(5, 3)
    assert windows.average(120, 6) == Load(5, 3)


def test_the_panic_window_sees_only_the_newest_seconds() -> None:
    windows = filled(*((float(t), 1.0 if t <= 54 else 41.0, 0) for t in range(1, 61)))
    assert windows.average(60, 60) == Load(5, 0)
    assert windows.average(60, 6) == Load(41, 0)


def test_periods_need_not_be_whole_seconds_nor_aligned() -> None:
    windows = filled(*((0.3 + 0.25 * i, 4.0, 1) for i in range(1, 41)), period=0.25)
    load = windows.average(10.3, 60)
    assert load is not None
    assert (load.concurrency, load.rps) == (4.0, 4.0)


def test_silence_for_two_periods_means_no_load() -> None:
    windows = filled((1, 6, 6), (2, 6, 6), (3, 6, 6))
    assert windows.average(5, 60) == Load(6, 6), "a report may be late"
    assert windows.average(6, 60) == Load(3, 3)
    assert windows.average(12, 6) == Load(0, 0)


def test_the_window_is_empty_exactly_one_window_after_the_last_load() -> None:
    windows = filled((10.3, 0.02, 1))
    average = windows.average(70.2, 60)
    assert average is not None and average.concurrency > 0
    assert windows.average(70.3, 60) == Load(0, 0)


def test_a_sample_that_says_when_it_ended_makes_that_exact() -> None:
    windows = Windows(60)
    windows.record(11.0, 1.0, 0.02, 1, 0.7)
    average = windows.average(70.2, 60)
    assert average is not None and average.concurrency > 0
    assert windows.average(70.3, 60) == Load(0, 0)


def test_zero_samples_after_the_end_do_not_hold_the_window_open() -> None:
    windows = filled((10, 1, 1), *((10.0 + t, 0.0, 0) for t in range(1, 60)))
    assert windows.average(70, 60) == Load(0, 0)


def test_after_a_whole_window_of_silence_time_begins_anew() -> None:
    windows = filled((10, 8, 8), (100, 8, 8))
    assert windows.average(100, 60) == Load(8, 8)


def test_buckets_that_no_window_reaches_are_dropped() -> None:
    windows = filled(*((float(t), 1.0, 1) for t in range(1, 1000)), span=10)
    (gateway,) = windows._gateways.values()
    assert len(gateway.buckets) <= 13


def test_weighted_averages_favour_the_newest_seconds() -> None:
    rising = filled(*((float(t), 1.0 if t <= 30 else 9.0, 0) for t in range(1, 61)))
    plain, weighted = rising.average(60, 60), rising.average(60, 60, weighted=True)
    assert plain is not None and weighted is not None
    assert plain.concurrency == pytest.approx(5)
    assert weighted.concurrency == pytest.approx(9, rel=0.01)
    steady = filled(*((float(t), 7.0, 0) for t in range(1, 61))).average(60, 60, weighted=True)
    assert steady is not None and steady.concurrency == pytest.approx(7, rel=0.001)


class TestSeveralGateways:
    def test_the_average_is_the_sum_of_their_averages_whenever_each_reports(self) -> None:
        windows = Windows(60)
        for t in range(10):
            windows.record(10.0 + t, 1.0, 2.0, 1, 0, "a")
            windows.record(10.0 + t, 1.0, 3.0, 4, 0, "b")
            windows.record(10.37 + t, 1.0, 5.0, 0, 0, "late")
        load = windows.average(19.5, 6)
        assert load is not None and (load.concurrency, load.rps) == (10, 5)
        weighted = windows.average(19.5, 60, weighted=True)
        alone = filled(*((10.0 + t, 5.0, 5) for t in range(10))).average(19.5, 60, weighted=True)
        assert weighted is not None and alone is not None and weighted.rps == alone.rps

    def test_load_that_moves_to_another_gateway_stays_the_same_load(self) -> None:
        windows = Windows(60)
        for t in range(1, 31):
            windows.record(float(t), 1.0, 10.0, 10, 0, "old")
        for t in range(31, 61):
            windows.record(float(t), 1.0, 10.0, 10, 0, "new")
        assert windows.average(60, 60) == Load(10, 10)
        assert windows.average(60, 6) == Load(10, 10)

    def test_a_burst_on_a_second_gateway_is_averaged_over_the_time_since_the_first_one(self) -> None:
        windows = filled(*((float(t), 0.5, 1) for t in range(1, 61)))
        windows.record(60.0, 1.0, 60.0, 0, 0, "second")
        assert windows.average(60, 60) == Load(1.5, 1)

    def test_one_that_is_silent_has_no_load_from_its_last_report_on(self) -> None:
        windows = Windows(60)
        for t in range(1, 31):
            windows.record(float(t), 1.0, 10.0, 0, 0, "dies")
        for t in range(1, 41):
            windows.record(float(t), 1.0, 1.0, 0, 0, "lives")
        assert windows.average(40, 6) == Load(1, 0)
        assert windows.average(40, 60) == Load(8.5, 0), "what it had stays in the average: 300 of 40 seconds"

    def test_one_that_is_known_to_be_gone_is_not_waited_for(self) -> None:
        windows = filled((1, 6, 6), (2, 6, 6), (3, 6, 6))
        windows.gone("")
        windows.gone("never heard of")
        assert windows.average(4, 60) == Load(4.5, 4.5)
        windows.record(5, 1.0, 6, 6)
        assert windows.average(5, 60) == Load(4.8, 4.8), "it is back"

    def test_the_window_is_empty_one_window_after_the_last_load_of_any_of_them(self) -> None:
        windows = Windows(60)
        windows.record(11.0, 1.0, 0.02, 1, 0.2, "a")  # the last request left at 10.8
        windows.record(11.0, 1.0, 0.02, 1, 0.7, "b")
        windows.record(20.0, 1.0, 0.0, 0, 1.0, "b")
        average = windows.average(70.7, 60)
        assert average is not None and average.concurrency > 0
        assert windows.average(70.8, 60) == Load(0, 0)

    def test_an_old_report_that_comes_late_is_put_where_it_belongs(self) -> None:
        windows = filled(*((float(t), 1.0, 1) for t in range(31, 41)))
        for t in range(1, 41):
            windows.record(float(t), 1.0, 2.0, 0, 0, "was away")
        assert windows.average(40, 60) == Load(2.25, 0.25)
        assert windows.average(40, 6) == Load(3, 1)

    def test_nothing_is_kept_of_those_that_no_window_reaches(self) -> None:
        windows = Windows(10)
        for t in range(1, 1000):
            windows.record(float(t), 1.0, 1.0, 1, 0, f"gateway-{t // 5}")
        assert len(windows._gateways) <= 4


class TestReportsThatAreLate:
    """The autoscaler dates a report by when it comes: periods overlap, or leave a gap, by as much as the way took longer or shorter."""

    @pytest.mark.parametrize("weighted", [False, True], ids=["linear", "weighted"])
    def test_a_steady_load_is_never_more_than_it_was(self, weighted: bool) -> None:
        chance = random.Random(7)
        windows = Windows(6)
        for second in range(1, 200):
            now = second + chance.uniform(0, 0.3)
            windows.record(now, 1.0 + chance.uniform(0, 0.01), 2.0, 0)
            for window in (6, 1):
                load = windows.average(now + 0.001, window, weighted=weighted)
                assert load is not None and load.concurrency <= 2.0

    def test_nor_is_it_much_less(self) -> None:
        chance = random.Random(7)
        windows = Windows(60)
        for second in range(1, 200):
            windows.record(second + chance.uniform(0, 0.1), 1.0, 2.0, 0)
        load = windows.average(200, 60)
        assert load is not None and load.concurrency > 1.98
