"""What the metrics say after something happened for real: failures by kind, refusals by reason, bytes, connections, the loop's lag."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from gateway.observe import metrics
from kfn.kube import errors
from tests.fakes.http2 import h2_upstream
from tests.fakes.kube import FakeApi
from tests.fakes.routed import Cluster, Routed, routed
from tests.fakes.upstream import Received, ok, upstream

OF = 'namespace_name="default",revision_name="hello-00001"'


async def _told(gw: Routed) -> dict[str, float]:
    """Every sample, by name with labels."""
    text = "".join([part async for part in metrics.page(gw.gateway)])
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if not line.startswith("#")}


async def _nothing(request: Received, reader: Any, writer: Any) -> None:
    return None  # the connection is closed


async def _half(request: Received, reader: Any, writer: Any) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def _nonsense(request: Received, reader: Any, writer: Any) -> bytes:
    return b"this is not HTTP\r\n\r\n"


async def _slow(request: Received, reader: Any, writer: Any) -> None:
    await asyncio.sleep(30)


@pytest.mark.parametrize(
    ("handler", "kind", "reason"),
    [
        (_nothing, "reset", "Unreachable"),
        (_half, "reset", None),
        (_nonsense, "broken", "Unreachable"),
        (_slow, "answer_timeout", "OutOfTime"),
    ],
    ids=["closes", "closes-in-the-middle", "speaks-something-else", "says-nothing"],
)
async def test_an_instance_that_fails_is_counted_by_how(handler: Any, kind: str, reason: str | None) -> None:
    cluster = Cluster()
    cluster.route()
    cluster.revision(response_start_timeout_seconds=1)
    async with upstream(handler) as instance, routed(cluster, tick=0.02) as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: hello.default.localhost\r\n\r\n")
        await client.reader.read(1000)
        await gw.until(lambda: gw.line().meter.concurrency == 0)
        await client.close()
        told = await _told(gw)
    assert told[f'kfn_gateway_upstream_errors_total{{{OF},kind="{kind}"}}'] == 1
    refused = {sample: times for sample, times in told.items() if sample.startswith("kfn_gateway_refused_requests_total")}
    assert [f'reason="{reason}"' in sample for sample in refused] == ([True] if reason else [])


async def test_a_connection_that_is_refused_is_counted_and_so_is_the_retry() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        gone = nobody.getsockname()[1]
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(gone)
        waiting = asyncio.create_task(gw.get())
        await gw.until(lambda: bool(gw.line().meter.failures))
        gw.cluster.instance(instance.port)
        assert (await waiting).status == 200
        told = await _told(gw)
    assert told[f'kfn_gateway_upstream_errors_total{{{OF},kind="connect_refused"}}'] >= 1
    assert told[f"kfn_gateway_retries_total{{{OF}}}"] >= 1


async def test_bodies_are_counted_in_bytes_without_their_framing() -> None:
    async def handler(request: Received, reader: Any, writer: Any) -> bytes:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2\r\n!!\r\n0\r\n\r\n"

    async with upstream(handler) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.ask("POST", body=b"x" * 3000)
        await client.close()
        told = await _told(gw)
    assert told[f"kfn_gateway_request_body_bytes_total{{{OF}}}"] == 3000
    assert told[f"kfn_gateway_response_body_bytes_total{{{OF}}}"] == 7


async def test_connections_are_told_by_what_they_do() -> None:
    going = asyncio.Event()

    async def handler(request: Received, reader: Any, writer: Any) -> bytes:
        if request.line.startswith("GET /wait"):
            await going.wait()
        return ok()

    async with upstream(handler) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        idle, busy = await gw.client(), await gw.client()
        await idle.ask("GET")
        waiting = asyncio.create_task(busy.ask("GET", "/wait"))
        await gw.until(lambda: instance.inside == 1)
        during = await _told(gw)
        going.set()
        await waiting
        after = await _told(gw)
        await idle.close()
        await busy.close()
    assert during['kfn_gateway_client_connections{protocol="1.1",state="active"}'] == 1
    assert during['kfn_gateway_client_connections{protocol="1.1",state="idle"}'] == 1
    assert during['kfn_gateway_upstream_connections{protocol="1.1",state="active"}'] == 1
    assert after['kfn_gateway_client_connections{protocol="1.1",state="active"}'] == 0
    assert after['kfn_gateway_upstream_connections{protocol="1.1",state="idle"}'] == 1


async def test_a_connection_of_many_requests_is_told_as_one() -> None:
    async with h2_upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port, name="h2c")
        client = await gw.client()
        for _ in range(3):
            await client.ask("GET")
        await client.close()
        told = await _told(gw)
    assert told['kfn_gateway_upstream_connections{protocol="2",state="shared"}'] == 1
    assert told['kfn_gateway_upstream_connections{protocol="1.1",state="idle"}'] == 0
    assert told[f'kfn_gateway_requests_total{{{OF},code="200"}}'] == 3


class Away(FakeApi):
    """Its watches end soon, and are not answered again while it is away."""

    away = False

    async def _events(self, at: Any, query: dict[str, str]) -> AsyncIterator[Any]:
        if self.away:
            raise errors.Unreachable("it is away")
        async for event in super()._events(at, {**query, "timeoutSeconds": "0.02"}):
            yield event


async def test_while_the_api_server_is_away_the_gateway_serves_on_and_tells_for_how_long() -> None:
    def stale(told: dict[str, float]) -> list[float]:
        return [seconds for sample, seconds in told.items() if sample.startswith("kfn_gateway_api_stale_seconds")]

    cluster = Cluster()
    api = cluster.api = Away()
    cluster.route()
    cluster.revision()
    async with upstream() as instance, routed(cluster) as gw:
        gw.cluster.instance(instance.port)
        await gw.get()
        api.away = True
        with anyio.fail_after(30):
            while min(stale(await _told(gw))) == 0:
                await anyio.sleep(0.01)
        assert (await gw.get()).status == 200
        api.away = False
        with anyio.fail_after(30):
            while max(stale(await _told(gw))) > 0:
                await anyio.sleep(0.01)


async def test_a_loop_that_is_held_is_seen_to_be_late() -> None:
    async with routed() as gw:
        await gw.until(lambda: sum(gw.gateway.lag.seconds.counts) > 0)
        _hold()
        await gw.until(lambda: sum(gw.gateway.lag.seconds.counts[6:]) > 0)  # over a tenth of a second
        told = await _told(gw)
        assert told["kfn_gateway_event_loop_lag_seconds_sum"] > 0.1
        assert told["kfn_gateway_ready"] == 1
        assert told["kfn_gateway_routes_changed_timestamp_seconds"] > 1.7e9
        assert [told[s] for s in told if s.startswith("kfn_gateway_api_stale_seconds")] == [0, 0, 0]


def _hold() -> None:
    """Keep the loop from everything else, by a clock that goes on meanwhile (uvloop's does not)."""
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        pass
