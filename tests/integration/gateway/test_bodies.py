"""A body goes through the gateway, not into it: 256 MiB to a slow reader, both ways, and the gateway's memory stays where it was.

`python -m tests.benchmarks.bodies` moves 4 GiB and tells the figures.
"""

from collections.abc import Iterator

import pytest

from tests.benchmarks.bodies import MIB, MUST, WAYS, Bench, bench


@pytest.fixture(scope="module")
def one() -> Iterator[Bench]:
    with bench() as one:
        one.move("request", 16 * MIB)  # what is imported and allocated once
        yield one


@pytest.mark.parametrize("way", WAYS)
def test_a_slow_reader_costs_no_memory(one: Bench, way: str) -> None:
    moved = one.move(way, 256 * MIB)
    assert moved.peak - moved.before < MUST
