"""Averages over windows: what was reported, over the time for which it was."""

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


def test_samples_of_several_gateways_add_up() -> None:
    windows = filled((10, 2, 1), (10, 3, 1), (11, 2, 1), (11, 3, 1))
    assert windows.average(11, 60) == Load(5, 2)


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
    assert len(windows._buckets) <= 13


def test_weighted_averages_favour_the_newest_seconds() -> None:
    rising = filled(*((float(t), 1.0 if t <= 30 else 9.0, 0) for t in range(1, 61)))
    plain, weighted = rising.average(60, 60), rising.average(60, 60, weighted=True)
    assert plain is not None and weighted is not None
    assert plain.concurrency == pytest.approx(5)
    assert weighted.concurrency == pytest.approx(9, rel=0.01)
    steady = filled(*((float(t), 7.0, 0) for t in range(1, 61))).average(60, 60, weighted=True)
    assert steady is not None and steady.concurrency == pytest.approx(7, rel=0.001)
