"""Several gateways on a cluster: limits and load are of all of them together, one may die, and so may the autoscaler or the API server."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from tests.cluster import faults
from tests.cluster.functions import PATIENCE, Function, are_ready, function
from tests.cluster.layout import Layout
from tests.cluster.platform import Platform

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

Address = tuple[str, int]


@pytest.fixture(scope="module")
def several(platform: Platform) -> Iterator[Platform]:
    """Two gateways and two autoscalers."""
    platform.upgrade(**{"gateway.replicas": 2, "autoscaler.replicas": 2})
    yield platform
    platform.upgrade()


def pods(platform: Platform, component: str) -> dict[str, Address]:
    """Those that run, by name, with where requests go."""
    text = platform.kubectl("-n", platform.namespace, "get", "pods", "-l", f"app.kubernetes.io/component={component}", "-o", "json")
    found = [pod for pod in json.loads(text)["items"] if "deletionTimestamp" not in pod["metadata"]]
    return {pod["metadata"]["name"]: (pod["status"]["podIP"], 8080) for pod in found if pod["status"].get("podIP")}


def kill(platform: Platform, pod: str) -> None:
    platform.kubectl("-n", platform.namespace, "delete", "pod", pod, "--grace-period=0", "--force")


def leader(platform: Platform) -> str:
    return str(platform.get("lease", "kfn-autoscaler", platform.namespace)["spec"].get("holderIdentity", ""))


@asynccontextmanager
async def asking(f: Function, at: Address, clients: int, seconds: float) -> AsyncIterator[list[dict[str, Any]]]:
    """So many ask one gateway again and again while the block runs; every answer must be one."""
    stop, said = anyio.Event(), list[dict[str, Any]]()

    async def client() -> None:
        while not stop.is_set():
            said.append((await f.ask(seconds, at=at)).said)

    async with anyio.create_task_group() as tasks:
        for _ in range(clients):
            tasks.start_soon(client)
        yield said
        stop.set()


async def more(said: list[dict[str, Any]], count: int) -> None:
    """Until so many more were answered."""
    wanted = len(said) + count
    with anyio.fail_after(PATIENCE):
        while len(said) < wanted:
            await anyio.sleep(0.05)


class TestTogether:
    async def test_an_instance_gets_no_more_than_its_limit_from_all_of_them(self, several: Platform) -> None:
        one, two = list(pods(several, "gateway").values())
        async with function(several, "shared", concurrency=2, max_scale="2", target_utilization_percentage="100") as f:
            async with asking(f, one, 4, 0.05) as first, asking(f, two, 4, 0.05) as second:
                await more(first, 60)
                await more(second, 60)
            assert max(answer["peak"] for answer in first + second) == 2

    async def test_their_load_adds_up(self, several: Platform) -> None:
        """Three requests are always in each; alone they would ask for three instances."""
        one, two = list(pods(several, "gateway").values())
        summed = function(several, "summed", concurrency=1, target_utilization_percentage="100")
        async with summed as f, asking(f, one, 3, 1.0), asking(f, two, 3, 1.0):
            await f.until(are_ready(6), "six instances")


class TestOneDies:
    async def test_the_others_serve_on_and_a_new_one_joins(self, several: Platform) -> None:
        (victim, one), (_, two) = pods(several, "gateway").items()
        async with function(several, "survives", concurrency=2, max_scale="1") as f:
            async with asking(f, two, 3, 0.02) as said:
                waiting = [asyncio.create_task(f.ask(5.0, at=one)) for _ in range(2)]
                await anyio.sleep(1)
                await anyio.to_thread.run_sync(kill, several, victim)
                await asyncio.gather(*waiting, return_exceptions=True)  # its own clients lose their connections
                await more(said, 50)
                with anyio.fail_after(PATIENCE):
                    while len(now := pods(several, "gateway")) < 2 or victim in now:
                        await anyio.sleep(0.2)
                new = next(address for address in now.values() if address != two)
                joined = await _answers(f, new)
            assert joined["peak"] <= 2 and max(answer["peak"] for answer in said) <= 2


class TestTheAutoscalerDies:
    async def test_nothing_is_taken_away_by_that(self, several: Platform) -> None:
        async with function(several, "steady", concurrency=1, target_utilization_percentage="100", window="10s") as f:
            async with asking(f, f.address, 3, 0.5) as said:
                await f.until(are_ready(3), "three instances")
                await anyio.to_thread.run_sync(kill, several, before := leader(several))
                counts = set()
                with anyio.fail_after(PATIENCE):
                    while leader(several) in (before, ""):
                        counts.add(len(await f.pods()))
                await more(said, 30)
                counts.add(len(await f.pods()))
            assert min(counts) >= 3  # it begins in panic, and may add

    async def test_a_request_that_finds_nothing_meanwhile_waits_for_the_next(self, several: Platform) -> None:
        async with function(several, "sleeps") as f:
            await f.until(lambda found: not found, "to zero")
            await anyio.to_thread.run_sync(kill, several, leader(several))
            assert (await f.ask()).status == 200


class TestTheApiServerIsAway:
    async def test_what_runs_is_served_and_what_is_asked_for_meanwhile_comes_after(self, several: Platform, own_cluster: Layout) -> None:
        async with function(several, "runs", min_scale="1") as f, function(several, "rests") as g:
            await g.until(lambda found: not found, "to zero")
            async with asking(f, f.address, 2, 0.05) as said:
                with faults.without(own_cluster, "kube-apiserver"):
                    late = asyncio.create_task(g.ask())
                    await more(said, 200)
                    assert not late.done()
                await late
                await more(said, 20)


async def _answers(f: Function, at: Address) -> dict[str, Any]:
    """A gateway that has just started is not ready yet."""
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                return (await f.ask(at=at)).said
            except (OSError, AssertionError):
                await anyio.sleep(0.2)
