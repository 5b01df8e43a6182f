"""Several gateways report on one revision: what they have adds up, whenever each of them says so, and only while they live."""

import anyio

from autoscaler.app import Autoscaler
from autoscaler.settings import Settings
from kfn.api import kinds
from kfn.kube.client import Client
from kfn.load import RevisionKey, Sample
from tests.fakes.kube import FakeApi
from tests.unit.autoscaler.world import KEY, World, world


def seen_waiting(w: World) -> int:
    return w.autoscaler.decisions(KEY)[-1].seen.waiting


class TestWaiting:
    async def test_requests_that_wait_in_several_gateways_add_up(self) -> None:
        async with world(replicas=0) as w:
            w.load(0.1, waiting=8, gateway="a")
            await anyio.sleep(0.4)
            w.load(0.1, waiting=8, gateway="b")
            await w.until(lambda: w.replicas == 2, within=0.1)
            assert seen_waiting(w) == 16

    async def test_a_poke_counts_beside_what_waits_elsewhere(self) -> None:
        async with world(replicas=0) as w:
            w.autoscaler.poke(KEY, 10, "a")
            await w.until(lambda: w.replicas == 1, within=0.1)
            w.autoscaler.poke(KEY, 1, "b")
            await w.until(lambda: w.replicas == 2, within=0.1)

    async def test_a_report_takes_the_place_of_the_same_gateways_last_one(self) -> None:
        async with world(replicas=0) as w:
            for _ in range(5):
                w.load(0.1, waiting=8, gateway="a")
                w.load(0.1, waiting=1, gateway="b")
                await anyio.sleep(1)
            assert (w.replicas, seen_waiting(w)) == (1, 9)

    async def test_what_a_gateway_that_is_gone_held_no_longer_waits(self) -> None:
        async with world(replicas=0) as w:
            w.load(8, waiting=8, gateway="a")
            w.load(8, waiting=8, gateway="b")
            w.autoscaler.gone("a")
            await anyio.sleep(2.1)
            w.load(8, waiting=8, gateway="b")
            await anyio.sleep(2.1)
            assert seen_waiting(w) == 8

    async def test_a_gateway_that_falls_silent_counts_for_a_few_seconds_more(self) -> None:
        async with world(replicas=0) as w:
            for second in range(10):
                w.load(1, waiting=1, gateway="lives")
                if second < 5:
                    w.load(30, waiting=30, gateway="dies")
                await anyio.sleep(1)
            assert seen_waiting(w) == 1


class TestConcurrency:
    async def test_a_jump_of_all_gateways_together_does_not_wait_for_the_tick(self) -> None:
        async with world(ready=1) as w:
            await anyio.sleep(1)
            w.load(10, gateway="a")
            await anyio.sleep(0.05)
            assert w.replicas == 1, "10 alone are no jump"
            w.load(10, gateway="b")
            await w.until(lambda: w.replicas == 3, within=0.1)

    async def test_it_scales_by_the_sum_of_gateways_that_report_at_different_moments(self) -> None:
        async with world(ready=1, concurrency=10) as w:  # the target is 7
            for _ in range(70):
                for gateway in ("a", "b", "c"):
                    w.load(7, gateway=gateway)
                    await anyio.sleep(1 / 3)
            assert w.autoscaler.decisions(KEY)[-1].seen.stable == 21
            assert w.replicas == 3

    async def test_a_gateway_that_restarts_does_not_count_twice(self) -> None:
        async with world(ready=1, concurrency=10) as w:
            for second in range(120):
                w.load(7, gateway="first life" if second < 60 else "second life")
                if second == 60:
                    w.autoscaler.gone("first life")
                await anyio.sleep(1)
                assert w.replicas == 1

    async def test_a_gateway_without_load_takes_nothing_from_the_others(self) -> None:
        async with world(ready=2, replicas=2, concurrency=10) as w:
            w.load(14, gateway="idle later")
            for _ in range(70):
                w.load(14, gateway="busy")
                await anyio.sleep(1)
            assert w.autoscaler.decisions(KEY)[-1].seen.stable == 14


class TestTime:
    async def test_zero_comes_one_window_after_the_last_request_of_any_gateway(self) -> None:
        async with world(ready=1, window="10s") as w:
            for _ in range(5):
                w.load(1, gateway="a")
                w.load(1, gateway="b")
                await anyio.sleep(1)
            w.load(1, gateway="b")
            last = anyio.current_time()
            w.load(0, 0, gateway="a")
            w.autoscaler.gone("a")
            at = await w.until(lambda: w.replicas == 0, step=0.01)
            assert 10 <= at - last <= 10.05

    async def test_reports_that_were_held_back_count_for_the_time_that_they_are_of(self) -> None:
        async with world(ready=1, window="60s") as w:
            for age in range(29, -1, -1):
                w.autoscaler.report([Sample(KEY, 7.0, 7, 0, 1.0)], "was away", float(age))
            w.load(7, gateway="b")
            await anyio.sleep(2)
            seen = w.autoscaler.decisions(KEY)[-1].seen
            assert seen.stable is not None and 7.2 <= seen.stable <= 7.3, "30 seconds of 7 and one of 14"

    async def test_requests_that_waited_when_an_old_report_was_made_wait_no_more(self) -> None:
        async with world(replicas=0) as w:
            w.autoscaler.report([Sample(KEY, 5.0, 5, 50, 1.0)], "was away", 10.0)
            await anyio.sleep(5)
            assert (w.replicas, seen_waiting(w)) == (1, 0)


async def test_pokes_for_what_is_not_there_are_bounded() -> None:
    async with world(settings=Settings(pokes_remembered=3)) as w:
        scaler: Autoscaler = w.autoscaler
        for n in range(10):
            scaler.poke(RevisionKey("nowhere", f"r-{n}"), 1)
        scaler.poke(RevisionKey("nowhere", "r-1"), 5)
        assert [(key.name, pokes[""][0]) for key, pokes in scaler._early.items()] == [("r-0", 1), ("r-1", 5), ("r-2", 1)]
        assert w.api.the(kinds.DEPLOYMENT, "hello-00001-deployment")


class TestBeforeTheDeploymentIsThere:
    async def test_pokes_of_several_gateways_are_remembered_each_as_its_own(self) -> None:
        """A gateway's next report takes the place of its poke: what it holds is not counted twice."""
        api = FakeApi()
        w = World(api, Autoscaler(Client(api)))
        w.autoscaler.poke(KEY, 15, "a")
        w.autoscaler.poke(KEY, 20, "b")
        w.autoscaler.poke(KEY, 20, "c")
        w.autoscaler.gone("c")
        w.revise()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(w.autoscaler.run)
            w.deploy(replicas=0)
            await w.until(lambda: w.replicas == 4, within=5)
            w.load(15, waiting=15, gateway="a")
            w.load(20, waiting=20, gateway="b")
            assert w.autoscaler._tracked[KEY].waiting(anyio.current_time()) == 35
            tasks.cancel_scope.cancel()
