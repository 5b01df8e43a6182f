"""Scaling on a cluster: from zero, back to zero with requests at that very moment, and from many to fewer while all are busy or some."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from tests.cluster.platform import Platform, a_service

pytestmark = pytest.mark.cluster

WORKER = """
import asyncio, os
inside = peak = 0

async def handle(request):
    global inside, peak
    inside += 1
    peak = max(peak, inside)
    try:
        await asyncio.sleep(float(request.query.get("s", "0")))
    finally:
        inside -= 1
    return {"pod": os.environ["HOSTNAME"], "peak": peak}
"""
PATIENCE = 120.0  # seconds for what takes one to ten
COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass
class Answer:
    status: int
    said: dict[str, Any]


@dataclass
class Function:
    """One function of a test, and the gateway's address."""

    platform: Platform
    name: str
    host: str
    address: tuple[str, int]

    async def ask(self, seconds: float = 0.0, *, method: str = "GET") -> Answer:
        """A request on a connection of its own; anything but a whole answer raises."""
        with anyio.fail_after(PATIENCE):
            reader, writer = await asyncio.open_connection(*self.address)
            try:
                head = f"{method} /?s={seconds:g} HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n"
                writer.write(
                    f"{head}{'Content-Length: 2' if method == 'POST' else 'X: y'}\r\n\r\n{'hi' if method == 'POST' else ''}".encode()
                )
                whole = await reader.read()
            finally:
                writer.close()
        head_, _, body = whole.partition(b"\r\n\r\n")
        assert head_.startswith(b"HTTP/1.1 "), f"{len(whole)} bytes, no answer: {whole[:200]!r}"
        status = int(head_[9:12])
        assert status == 200, f"{status}: {body[:500].decode(errors='replace')}"
        return Answer(status, json.loads(body))

    async def pods(self) -> dict[str, dict[str, Any]]:
        """By name; without those on their way out."""
        text = await anyio.to_thread.run_sync(
            lambda: self.platform.kubectl("get", "pods", "-l", f"serving.knative.dev/service={self.name}", "-o", "json")
        )
        return {pod["metadata"]["name"]: pod for pod in json.loads(text)["items"] if "deletionTimestamp" not in pod["metadata"]}

    async def until(self, holds: Callable[[dict[str, dict[str, Any]]], object], what: str) -> dict[str, dict[str, Any]]:
        pods: dict[str, dict[str, Any]] = {}
        try:
            with anyio.fail_after(PATIENCE):
                while not holds(pods := await self.pods()):
                    await anyio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"{what}: not in {PATIENCE:g} s; the pods are {sorted(pods)}") from None
        return pods


def are_ready(count: int) -> Callable[[dict[str, dict[str, Any]]], bool]:
    def holds(pods: dict[str, dict[str, Any]]) -> bool:
        conditions = (condition for pod in pods.values() for condition in pod["status"].get("conditions", []))
        return len(pods) == count == sum(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    return holds


@asynccontextmanager
async def function(
    platform: Platform, name: str, *, concurrency: int = 0, window: str = "6s", **annotations: str
) -> AsyncIterator[Function]:
    """It is there and has been ready."""
    notes = {"window": window, **{key.replace("_", "-"): value for key, value in annotations.items()}}
    image = await anyio.to_thread.run_sync(lambda: platform.image(WORKER, "worker"))
    manifest = a_service(name, image, annotations={f"autoscaling.knative.dev/{key}": value for key, value in notes.items()})
    manifest["spec"]["template"]["spec"] |= {"containerConcurrency": concurrency, "timeoutSeconds": 60}
    await anyio.to_thread.run_sync(lambda: platform.apply(manifest))
    try:
        ready = await anyio.to_thread.run_sync(lambda: platform.ready(name))
        yield Function(platform, name, ready["status"]["url"].partition("://")[2], platform.gateway)
    finally:
        platform.delete("ksvc", name)


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
            async with anyio.create_task_group() as tasks:
                for _ in range(6):
                    tasks.start_soon(f.ask, 4.0)
            await f.until(are_ready(6), "six instances")
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
