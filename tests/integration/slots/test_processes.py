"""Limits of instances that several gateways share, with real processes: instances that fail on overlap, kills, restarts and pauses."""

import signal
from pathlib import Path

import anyio

from tests.fakes.crew import crew


def unix(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/slots"


class TestManyGateways:
    async def test_an_instance_that_takes_one_request_never_gets_two(self, tmp_path: Path) -> None:
        async with crew(unix(tmp_path), limit=1, instances=2, gateways=3) as c:
            found = await c.load(0.6)
            most, served, overlaps = await c.stats()
            assert set(found) == {200} and found[200] == served > 50
            assert (most, overlaps) == (1, 0)

    async def test_an_instance_that_takes_three_requests_gets_three_and_never_four(self, tmp_path: Path) -> None:
        async with crew(unix(tmp_path), limit=3, instances=2, gateways=3) as c:
            found = await c.load(0.6)
            most, _, overlaps = await c.stats()
            assert set(found) == {200}
            assert (most, overlaps) == (3, 0)

    async def test_without_a_keeper_they_overlap_so_the_instances_do_notice(self, tmp_path: Path) -> None:
        async with crew("", limit=1, instances=1, gateways=2, keeper=False) as c:
            assert (await c.load(0.3))[500] > 0

    async def test_a_keeper_can_be_reached_by_tcp_with_its_token(self) -> None:
        async with crew("127.0.0.1:0", limit=1, instances=1, gateways=2, token="secret") as c:
            found = await c.load(0.3)
            assert set(found) == {200}
            assert (await c.stats())[2] == 0

    async def test_a_large_limit_is_leased_in_batches(self, tmp_path: Path) -> None:
        async with crew(unix(tmp_path), limit=100, instances=2, gateways=2) as c:
            found = await c.load(0.5, connections=32)
            trips = sum([(await gateway.ask("slots"))[0] for gateway in c.gateways])
            assert set(found) == {200}
            assert trips < found[200] / 10


class TestFailures:
    async def test_a_keeper_that_is_killed_and_comes_back_changes_nothing_but_time(self, tmp_path: Path) -> None:
        async with crew(unix(tmp_path), limit=1, instances=2, gateways=3) as c:

            async def kill() -> None:
                await anyio.sleep(0.2)
                assert c.keeper is not None
                await c.keeper.kill()
                await c.start_keeper(fresh=False)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(kill)
                found = await c.load(1.2)
            before = (await c.stats())[1]
            assert (await c.load(0.2))[200] > 10
            most, served, overlaps = await c.stats()
            assert set(found) == {200}
            assert (most, overlaps) == (1, 0) and served > before > 50

    async def test_a_gateway_that_is_killed_leaves_no_overlap_and_no_slot_behind(self, tmp_path: Path) -> None:
        async with crew(unix(tmp_path), limit=1, instances=2, gateways=3) as c:

            async def kill() -> None:
                await anyio.sleep(0.2)
                dead = c.gateways.pop(0)
                await dead.kill()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(kill)
                found = await c.load(1.0)
            assert set(found) <= {0, 200} and found[0] <= 24, "only who was connected to the dead one noticed"
            assert (await c.stats())[2] == 0
            before = (await c.stats())[1]
            found = await c.load(0.3, connections=8)
            assert (await c.stats())[1] - before > 0.3 / 0.02, "both instances are of use again"
            assert set(found) == {200}

    async def test_instances_that_come_and_go_overlap_no_more_than_others(self, tmp_path: Path) -> None:
        async with crew(unix(tmp_path), limit=1, instances=4, gateways=3) as c:

            async def change() -> None:
                for turn in range(8):
                    await anyio.sleep(0.1)
                    c.tell_instances([one for at, one in enumerate(c.instances) if at != turn % 4 and at != (turn + 1) % 4])
                c.tell_instances(c.instances)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(change)
                found = await c.load(1.0)
            assert set(found) == {200}
            assert (await c.stats())[2] == 0

    async def test_a_gateway_that_slept_uses_no_slot_that_is_not_its_own_any_more(self, tmp_path: Path) -> None:
        async with crew(unix(tmp_path), limit=1, instances=2, gateways=3) as c:

            async def pause() -> None:
                await anyio.sleep(0.2)
                c.gateways[0].signal(signal.SIGSTOP)
                await anyio.sleep(c.ttl * 2)
                c.gateways[0].signal(signal.SIGCONT)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pause)
                found = await c.load(1.6)
            assert set(found) == {200}
            assert (await c.stats())[2] == 0
