"""Steady load while routes, splits, revisions and instances change at random. See `tests/fakes/prober.py`."""

import random

import pytest

from tests.fakes.prober import probe


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_two_hundred_random_updates_under_five_hundred_requests_a_second_cost_no_request() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    told = await probe(seed, updates=200, seconds=8, rate=500)
    print(dict(told.updates), told.answers.total(), "answers")
    assert told.wrong == []
    assert told.splits_not_kept() == []
    assert told.updates.total() == 200
    assert told.answers.total() > 1000  # how many there are in the time is the machine's affair
