"""Who counts as one client, and that the counting holds nothing for those who have gone."""

import pytest

from gateway.census import Census, of
from gateway.errors import ConnectionsFull, TooManyConnections


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"10.0.0.1", b"10.0.0.2", False),
        (b"10.0.0.1", b"::ffff:10.0.0.1", True),
        (b"2001:db8:1:2::1", b"2001:db8:1:2:ffff::9", True),
        (b"2001:db8:1:2::1", b"2001:db8:1:3::1", False),
        (b"fe80::1%eth0", b"fe80::2%eth1", True),
        (b"unknown", b"unknown", True),
    ],
    ids=["two-v4", "v4-mapped", "one-v6-network", "two-v6-networks", "scopes", "unix"],
)
def test_who_is_one_client(one: bytes, other: bytes, same: bool) -> None:
    assert (of(one) == of(other)) is same


class TestALimit:
    def test_of_each_client_is_told_apart_from_that_of_all(self) -> None:
        census = Census(3, 2, 1)
        assert [census.enter(b"1.1.1.1"), census.enter(b"1.1.1.1")] == [None, None]
        assert isinstance(census.enter(b"1.1.1.1"), TooManyConnections)
        why = census.enter(b"2.2.2.2")
        assert isinstance(why, ConnectionsFull)
        assert (why.status, why.retry_after) == (503, 1)

    def test_is_free_again_when_connections_end_and_nothing_is_held_for_who_has_gone(self) -> None:
        census = Census(10_000, 5, 1)
        for n in range(1000):
            census.enter(b"10.0.%d.%d" % (n // 250, n % 250))
        assert len(census.clients) == 1000
        for n in range(1000):
            census.leave(b"10.0.%d.%d" % (n // 250, n % 250))
        assert (census.total, census.clients) == (0, {})

    def test_of_0_holds_nothing_at_all(self) -> None:
        census = Census(10, 0, 1)
        assert [census.enter(b"1.1.1.1") for _ in range(10)] == [None] * 10
        assert census.clients == {}

    def test_passed_far_means_a_flood(self) -> None:
        census = Census(100, 0, 1)
        for _ in range(126):
            census.enter(b"1.1.1.1")
        assert not census.flooded
        census.enter(b"1.1.1.1")
        assert census.flooded
