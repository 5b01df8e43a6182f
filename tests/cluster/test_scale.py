"""Scaling on a cluster: from zero, back to zero with requests at that very moment, and from many to fewer while all are busy or some."""

import asyncio
import random

import anyio
import pytest

from tests.cluster.functions import Answer, are_ready, function
from tests.cluster.platform import Platform

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

COST = "controller.kubernetes.io/pod-deletion-cost"


class TestFromZero:
    async def test_two_hundred_at_once_are_all_answered_and_no_instance_gets_more_than_its_limit(self, platform: Platform) -> None:
        async with function(platform, "burst", concurrency=10) as f:
            await f.until(lambda pods: not pods, "to zero")
            answers = await asyncio.gather(*(f.ask(0.1) for _ in range(200)))
            assert max(answer.said["peak"] for answer in answers) <= 10


class TestToZero:
    async def test_a_request_that_comes_as_the_last_instance_goes_is_answered(self, platform: Platform) -> None:
        """Six seconds after the last answer the scale is written. Requests of both kinds come from just before it until pods are gone."""
        async with function(platform, "edge") as f:
            for _ in range(4):
                await f.ask()
                begin = anyio.current_time()
                answers: list[Answer] = []

                async def at(moment: float, method: str, begin: float = begin, answers: list[Answer] = answers) -> None:
                    await anyio.sleep_until(begin + moment)
                    answers.append(await f.ask(method=method))

                first = 6.0 + random.uniform(-0.05, 0.1)
                moments = [first + n * 0.02 for n in range(100)]
                async with anyio.create_task_group() as tasks:
                    for n, moment in enumerate(moments):
                        tasks.start_soon(at, moment, "POST" if n % 2 else "GET")
                assert len(answers) == len(moments)

    async def test_nothing_is_left_of_an_instance_that_nobody_needs(self, platform: Platform) -> None:
        async with function(platform, "rests") as f:
            await f.ask()
            await f.until(lambda pods: not pods, "to zero")


class TestToFewer:
    async def test_the_idle_instances_go_and_those_with_requests_stay(self, platform: Platform) -> None:
        async with function(platform, "fewer", concurrency=1, target_utilization_percentage="100") as f:
            enough = anyio.Event()

            async def client() -> None:
                while not enough.is_set():
                    await f.ask(1.0)

            async with anyio.create_task_group() as tasks:
                for _ in range(6):
                    tasks.start_soon(client)
                await f.until(are_ready(6), "six instances")
                enough.set()
            long: list[Answer] = []

            async def last(seconds: float) -> None:
                long.append(await f.ask(seconds))

            async with anyio.create_task_group() as tasks:
                for seconds in (40.0, 41.0):
                    tasks.start_soon(last, seconds)
                left = await f.until(are_ready(2), "two instances")
                assert not long, "the machine was so slow that the requests were over first"
            assert {answer.said["pod"] for answer in long} == set(left)
            assert COST not in str([pod["metadata"].get("annotations") for pod in left.values()])

    async def test_no_request_is_lost_while_instances_go(self, platform: Platform) -> None:
        async with function(platform, "shrinks", concurrency=2) as f:
            stop = anyio.Event()
            count = 0

            async def client(seconds: float) -> None:
                nonlocal count
                while not stop.is_set():
                    await f.ask(seconds)
                    count += 1

            async with anyio.create_task_group() as tasks:
                for _ in range(2):
                    tasks.start_soon(client, 0.05)
                async with anyio.create_task_group() as many:
                    for _ in range(10):
                        many.start_soon(f.ask, 3.0)
                seen = len(await f.until(lambda pods: len(pods) >= 4, "several instances"))
                await f.until(lambda pods: len(pods) < seen - 1, "fewer instances")
                await f.until(lambda pods: len(pods) <= 3, "few instances")
                stop.set()
            assert count > 0
