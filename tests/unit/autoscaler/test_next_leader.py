"""An autoscaler that takes over from another knows nothing of the load: it must not take instances away that serve."""

import anyio

from autoscaler.settings import Settings
from tests.unit.autoscaler.world import KEY, World, world

ON_A_CLUSTER = Settings(hear_first=True)


async def reports(w: World, seconds: float, concurrency: float, gateway: str = "a") -> int:
    """The fewest replicas that were asked for meanwhile."""
    fewest = w.replicas
    for _ in range(round(seconds)):
        w.load(concurrency, gateway=gateway)
        await anyio.sleep(1)
        fewest = min(fewest, w.replicas)
    return fewest


class TestBeforeItHasHeardGateways:
    async def test_without_any_gateway_everything_stays_however_long(self) -> None:
        """They cannot reach it, perhaps, and serve."""
        async with world(replicas=3, ready=3, settings=ON_A_CLUSTER) as w:
            await anyio.sleep(3600)
            assert w.replicas == 3
            assert w.scales == 0

    async def test_one_instance_stays_too(self) -> None:
        async with world(replicas=1, ready=1, settings=ON_A_CLUSTER) as w:
            await anyio.sleep(3600)
            assert w.scales == 0

    async def test_it_grows_at_once(self) -> None:
        async with world(replicas=0, settings=ON_A_CLUSTER) as w:
            w.autoscaler.poke(KEY, 25, "a")
            await w.until(lambda: w.replicas == 3, within=0.5)

    async def test_the_window_begins_when_the_first_gateway_is_heard(self) -> None:
        async with world(replicas=3, ready=3, settings=ON_A_CLUSTER) as w:
            await anyio.sleep(500)
            w.autoscaler.arrived("a")
            heard = anyio.current_time()
            assert 59.9 < await w.until(lambda: w.replicas == 0) - heard < 62.1

    async def test_load_that_is_reported_keeps_its_instances(self) -> None:
        async with world(replicas=3, ready=3, settings=ON_A_CLUSTER) as w:
            w.autoscaler.arrived("a")
            assert await reports(w, 200, concurrency=20) == 3  # 10 in each, of which 7 are to be used

    async def test_a_gateway_that_comes_late_still_finds_its_instances(self) -> None:
        """The shortest window is shorter than what a gateway may take to notice that the old leader is gone."""
        async with world(replicas=3, ready=3, settings=ON_A_CLUSTER, window="6s") as w:
            w.autoscaler.arrived("a")
            assert await reports(w, 9, concurrency=0) == 3
            w.autoscaler.arrived("b")
            assert await reports(w, 60, concurrency=20, gateway="b") == 3

    async def test_when_the_last_gateway_leaves_it_begins_anew(self) -> None:
        async with world(replicas=2, ready=2, settings=ON_A_CLUSTER) as w:
            w.autoscaler.arrived("a")
            await reports(w, 30, concurrency=10)
            w.autoscaler.gone("a")
            await anyio.sleep(1000)
            assert w.replicas == 2
            w.autoscaler.arrived("b")
            heard = anyio.current_time()
            assert 59.9 < await w.until(lambda: w.replicas == 0) - heard < 62.1

    async def test_while_another_gateway_stays_nothing_begins_anew(self) -> None:
        async with world(replicas=1, ready=1, settings=ON_A_CLUSTER) as w:
            w.autoscaler.arrived("a")
            w.autoscaler.arrived("b")
            await anyio.sleep(50)
            w.autoscaler.gone("a")
            await anyio.sleep(11)
            assert w.replicas == 0

    async def test_a_smaller_max_scale_is_obeyed_at_once(self) -> None:
        async with world(replicas=5, ready=5, settings=ON_A_CLUSTER) as w:
            w.revise(max_scale="2")
            await w.until(lambda: w.replicas == 2, within=3)

    async def test_it_says_why_it_waits(self) -> None:
        async with world(replicas=3, ready=3, settings=ON_A_CLUSTER, window="6s") as w:
            w.autoscaler.arrived("a")
            await reports(w, 10, concurrency=0)
            assert "s of 15s, holds 3" in w.autoscaler.decisions(KEY)[-1].decision.because


class TestInOneProcessWithTheGateway:
    async def test_nobody_is_waited_for(self) -> None:
        async with world(replicas=1, ready=1) as w:
            began = anyio.current_time()
            assert await w.until(lambda: w.replicas == 0) - began < 62
