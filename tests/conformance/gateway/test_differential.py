"""The gateway beside a strict second parser, h11: what is taken means the same to both, and what either side is written h11 reads as it
was meant. The corpus, and a few thousand spoilt messages; KFN_FUZZ_CASES=100000 tries more, `make fuzz` goes on until it is stopped."""

import os
import random

import anyio
import pytest

from tests.conformance.gateway.corpus import get
from tests.fuzz import check
from tests.fuzz.gateway import ASKED, REQUESTS, SAID, fuzz
from tests.fuzz.world import World

CASES = int(os.environ.get("KFN_FUZZ_CASES", "2000"))  # of each seed


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
async def test_each_row_of_requests_means_the_same_to_both(size: int) -> None:
    async with anyio.create_task_group() as tasks:
        world = World(tasks, random.Random(1))
        for data in REQUESTS:
            pieces = [data[at : at + size] for at in range(0, min(len(data), 20_000), size)]
            check.of_a_request(b"".join(pieces), world.run(pieces))
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("method", sorted(set(ASKED)))
async def test_each_row_of_answers_means_the_same_to_both(method: bytes) -> None:
    async with anyio.create_task_group() as tasks:
        world = World(tasks, random.Random(1))
        for data in SAID:
            world.say = [data[at : at + 9999] for at in range(0, len(data), 9999)]
            check.of_an_answer(data, method, world.run([get(first=method + b" / HTTP/1.1")]))
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(3))
async def test_spoilt_messages_mean_the_same_to_both(seed: int) -> None:
    assert await fuzz(seed, cases=CASES) == CASES
