"""Taking an instance out of service: nothing new goes there, and whoever waits hears when nothing is under way on it."""

import anyio
import pytest

from gateway import drain
from kfn.load import RevisionKey
from tests.fakes.routed import Routed, routed
from tests.fakes.upstream import Handler, Reader, Received, Upstream, Writer, ok, upstream

KEY = RevisionKey("default", "hello-00001")


def _slow(release: anyio.Event) -> Handler:
    async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        if request.line.startswith("GET /slow"):
            await release.wait()
        return ok()

    return answer


def _pod(instance: Upstream) -> str:
    return f"hello-00001-pod-{instance.port}"


async def _under_way(gw: Routed, instance: Upstream, requests: int = 1) -> None:
    await gw.until(lambda: gw.gateway.in_flight(KEY).get(_pod(instance)) == requests)


async def test_the_wait_ends_with_the_last_request_and_nothing_new_goes_there_meanwhile() -> None:
    release = anyio.Event()
    async with upstream(_slow(release)) as leaving, upstream() as staying, routed() as gw, anyio.create_task_group() as tasks:
        gw.cluster.instance(leaving.port)
        tasks.start_soon(gw.get, "/slow")
        await _under_way(gw, leaving)
        gw.cluster.instance(staying.port)
        assert not await gw.gateway.drained("default", _pod(leaving), 0.05)
        before = len(leaving.received)
        for _ in range(20):
            assert (await gw.get()).status == 200
        assert len(leaving.received) == before, "its slice still says that it is ready"
        gw.cluster.instance(leaving.port)  # and says so again
        assert (await gw.get()).status == 200
        assert len(leaving.received) == before
        tasks.start_soon(_later, release)
        assert await gw.gateway.drained("default", _pod(leaving), 30)
        assert gw.gateway.in_flight(KEY)[_pod(leaving)] == 0


async def _later(event: anyio.Event) -> None:
    await anyio.sleep(0.05)
    event.set()


async def test_a_pod_that_is_not_known_is_drained_and_gets_nothing_when_it_appears() -> None:
    async with upstream() as early, upstream() as other, routed() as gw:
        assert await gw.gateway.drained("default", _pod(early), 0)
        gw.cluster.instance(early.port)
        gw.cluster.instance(other.port)
        assert (await gw.get()).status == 200
        assert early.received == []


async def test_a_request_on_an_instance_that_has_left_the_slices_is_waited_for() -> None:
    release = anyio.Event()
    async with upstream(_slow(release)) as instance, routed() as gw, anyio.create_task_group() as tasks:
        gw.cluster.instance(instance.port)
        tasks.start_soon(gw.get, "/slow")
        await _under_way(gw, instance)
        gw.cluster.remove_instance(instance.port)
        await gw.until(lambda: not gw.line().instances)
        assert not await gw.gateway.drained("default", _pod(instance), 0.02)
        release.set()
        assert await gw.gateway.drained("default", _pod(instance), 30)


async def test_a_namesake_in_another_namespace_is_not_meant() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        assert await gw.gateway.drained("other", _pod(instance), 0)
        assert (await gw.get()).status == 200


async def test_unused_connections_to_it_are_closed_at_once() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        await gw.get()
        await gw.until(lambda: bool(next(iter(gw.line().instances.values())).idle))
        await gw.gateway.drained("default", _pod(instance), 1)
        await gw.until(lambda: not instance.open)


async def test_who_asked_and_did_not_end_the_pod_gets_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "REMEMBERED", 0.05)
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        await gw.get()
        await gw.gateway.drained("default", _pod(instance), 1)
        assert not gw.line().usable
        await gw.until(lambda: bool(gw.line().usable))
        assert (await gw.get()).status == 200


async def test_a_gateway_that_is_gone_keeps_nobody_waiting() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        await gw.get()
    assert await gw.gateway.drained("default", _pod(instance), 30)
