"""Traces of load through the whole loop: gateway's samples and pokes, the autoscaler, the API server, instances."""

import anyio

from tests.fakes.simulated import simulation, steady


class TestBurstFromZero:
    async def test_two_hundred_requests_at_once_are_answered_by_about_twenty_instances(self) -> None:
        async with simulation(places=10, start=0.5) as (s, tasks):
            began = anyio.current_time()
            for _ in range(200):
                tasks.start_soon(s.request, 0.1)
            with anyio.fail_after(30):
                while s.answered < 200:
                    await anyio.sleep(0.01)
            assert anyio.current_time() - began < 0.8, "one start and one turn"
            assert s.most == 20

    async def test_one_request_gets_one_instance_and_waits_for_its_start_only(self) -> None:
        async with simulation(start=0.5) as (s, _):
            await s.request(0.01)
            assert s.most == 1
            assert s.waits[0] < 0.56


class TestToZero:
    async def test_the_last_answer_to_nothing_running_takes_the_window(self) -> None:
        for offset in (0.0, 0.13, 0.5, 0.77, 0.99):
            async with simulation(window="20s") as (s, _):
                await anyio.sleep(offset)
                await s.request(0.05)
                await anyio.sleep(3)
                await s.request(0.05)
                while s.instances:
                    await anyio.sleep(0.01)
                took = anyio.current_time() - s.last_answer
                assert 19.99 < took < 20.05, f"{took} after the last answer"

    async def test_after_a_burst_everything_is_gone_when_the_window_is(self) -> None:
        async with simulation(places=10, window="20s") as (s, tasks):
            for _ in range(200):
                tasks.start_soon(s.request, 0.1)
            await anyio.sleep(5)
            assert (s.answered, len(s.instances)) == (200, 20)
            while s.instances:
                await anyio.sleep(0.01)
            assert 19.99 < anyio.current_time() - s.last_answer < 20.05

    async def test_a_request_that_lasts_longer_than_the_window_keeps_its_instance(self) -> None:
        async with simulation(window="6s") as (s, _):
            await s.request(100)
            assert s.replicas == 1
            assert s.changes == 1

    async def test_a_trickle_holds_one_instance_without_a_change(self) -> None:
        async with simulation() as (s, tasks):
            await steady(lambda: s.request(0.01), tasks, rate=1 / 50, seconds=400)
            assert [n for _, n in s.history] == [0, 1]


class TestRamp:
    async def test_instances_follow_a_slow_rise_and_fall(self) -> None:
        async with simulation(places=10, start=0.5) as (s, tasks):
            seen = {}
            for rate in (10, 50, 100, 200):
                await steady(lambda: s.request(0.5), tasks, rate=rate, seconds=120)
                seen[rate] = s.replicas
            # Concurrency is half the rate, the target 7.
            assert seen == {10: 1, 50: 4, 100: 8, 200: 15}
            assert max(s.waits[-2000:]) < 0.01, "at the end of a step nobody waits"
            await anyio.sleep(1)
            await steady(lambda: s.request(0.5), tasks, rate=10, seconds=130)
            assert s.replicas == 1
            falling = [n for _, n in s.history if n][-10:]
            assert falling == sorted(falling, reverse=True)

    async def test_a_step_up_is_met_by_panic_within_seconds(self) -> None:
        async with simulation(places=10, start=0.5) as (s, tasks):
            await steady(lambda: s.request(0.5), tasks, rate=4, seconds=60)
            assert s.replicas == 1
            step = anyio.current_time()
            await steady(lambda: s.request(0.5), tasks, rate=200, seconds=10)
            enough = next(at for at, n in s.history if n >= 8)
            assert enough - step < 4


class TestFlapping:
    async def test_bursts_every_few_seconds_do_not_make_instances_come_and_go(self) -> None:
        async with simulation(places=1, start=0.2, target_utilization_percentage="100") as (s, tasks):
            for _ in range(30):
                for _ in range(5):
                    tasks.start_soon(s.request, 1.0)
                await anyio.sleep(5)
            peak = next(i for i, (_, n) in enumerate(s.history) if n == s.most)
            later = [n for at, n in s.history[peak:] if at < 150]
            assert s.most <= 8
            assert len(later) <= 6, f"replicas after the peak: {later}"

    async def test_a_pause_a_little_longer_than_the_window_is_one_stop_and_one_start(self) -> None:
        async with simulation(window="10s") as (s, _):
            for _ in range(5):
                await s.request(0.01)
                await anyio.sleep(11)
            assert [n for _, n in s.history] == [0, 1] * 5 + [0]


class TestRequestsPerSecond:
    async def test_the_rate_can_be_the_measure(self) -> None:
        async with simulation(places=0, metric="rps", target="10", start=0.1) as (s, tasks):
            s.places = 1000
            await steady(lambda: s.request(0.01), tasks, rate=35, seconds=90)
            assert s.replicas == 5  # 35 / (10 * 0.7)
