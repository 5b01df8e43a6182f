"""Time stamps as Kubernetes writes them, and virtual time itself."""

from datetime import UTC, datetime

import anyio

from kfn import clock


def test_timestamps_are_utc_with_seconds() -> None:
    assert clock.timestamp(datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)) == "2026-01-02T03:04:05Z"


def test_micro_timestamps_keep_microseconds() -> None:
    assert clock.micro_timestamp(datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)) == "2026-01-02T03:04:05.000678Z"


async def test_an_hour_passes_at_once_in_a_unit_test() -> None:
    before = anyio.current_time()
    await anyio.sleep(3600)
    assert 3600 <= anyio.current_time() - before < 3601
