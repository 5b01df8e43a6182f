"""What may go when a stream runs full."""

import pytest

from eventing.reclaim import Consumer, Stream, purge_below

FULL = Stream(size=900, limit=1000, first=101, last=200)


@pytest.mark.parametrize(
    ("stream", "consumers", "below"),
    [
        pytest.param(Stream(700, 1000, 1, 100), [Consumer(100, 0, 0)], None, id="there-is-room"),
        pytest.param(Stream(10**9, 0, 1, 100), [Consumer(100, 0, 0)], None, id="no-limit"),
        pytest.param(FULL, [Consumer(50, 0, 0)], 146, id="all-settled-half-of-it-goes"),
        pytest.param(FULL, [], 146, id="nobody-subscribes"),
        pytest.param(FULL, [Consumer(120, 80, 0)], 121, id="what-a-trigger-still-needs-stays"),
        pytest.param(FULL, [Consumer(50, 0, 0), Consumer(130, 0, 3)], 131, id="the-slowest-counts"),
        pytest.param(FULL, [Consumer(100, 100, 0)], None, id="nothing-is-settled"),
        pytest.param(Stream(900, 1000, 201, 200), [], None, id="empty"),
    ],
)
def test_purge_below(stream: Stream, consumers: list[Consumer], below: int | None) -> None:
    assert purge_below(stream, consumers) == below
