"""The end of an exchange is told to whoever watches, once, and harms nobody; where its time went is told to a client that asks."""

import socket

import pytest

from gateway.errors import Refusal
from gateway.exchange import Exchange
from kfn.api.podspec import ExecAction, Probe
from tests.fakes.http2 import h2_client
from tests.fakes.routed import Cluster, Routed, routed
from tests.fakes.upstream import ok, upstream


class Notes:
    def __init__(self) -> None:
        self.ends: list[tuple[int, str, int, int]] = []
        self.refused: list[tuple[bytes, int]] = []

    def ended(self, exchange: Exchange) -> None:
        name = exchange.instance.name if exchange.instance else ""
        self.ends.append((exchange.status, name, exchange.received, exchange.reply.size))

    def turned_away(self, peer: bytes, why: Refusal) -> None:
        self.refused.append((peer, why.status))


class Broken:
    def ended(self, exchange: Exchange) -> None:
        raise RuntimeError("a bug in a watcher")

    def turned_away(self, peer: bytes, why: Refusal) -> None:
        raise RuntimeError("a bug in a watcher")


def _watched(gw: Routed, *watchers: object) -> None:
    assert gw.gateway.chain is not None
    gw.gateway.chain.watchers = watchers  # type: ignore[assignment]


async def test_every_end_is_told_once_with_what_is_known() -> None:
    notes = Notes()
    async with upstream() as instance, routed() as gw:
        _watched(gw, notes)
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.ask("POST", "/", body=b"12345")
        await client.ask("GET", "/", host="unknown.example")
        await client.close()
        await gw.until(lambda: len(notes.ends) == 2)
        assert notes.ends[0] == (200, f"hello-00001-pod-{instance.port}", 5, 5)
        assert notes.ends[1][:3] == (404, "", 0)


async def test_what_is_no_request_is_told_too() -> None:
    notes = Notes()
    async with routed() as gw:
        _watched(gw, notes)
        client = await gw.client()
        await client.send(b"NONSENSE\r\n\r\n")
        assert (await client.answer()).status == 400
        await client.close()
        assert notes.refused == [(b"127.0.0.1", 400)]


async def test_a_watcher_that_fails_harms_no_request_and_no_other_watcher(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    async with upstream() as instance, routed() as gw:
        _watched(gw, Broken(), notes)
        gw.cluster.instance(instance.port)
        client = await gw.client()
        for _ in range(2):
            assert (await client.ask("GET")).status == 200
        await client.send(b"NONSENSE\r\n\r\n")
        assert (await client.answer()).status == 400
        await client.close()
        assert len(notes.ends) == 2 and len(notes.refused) == 1
        assert gw.line().meter.concurrency == 0
    assert "a bug in a watcher" in caplog.text


def _phases(value: str) -> dict[str, float]:
    return {name: float(span) for name, _, span in (part.strip().partition(";dur=") for part in value.split(","))}


async def test_a_client_that_asks_is_told_where_the_time_of_a_warm_request_went() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        await gw.get()
        client = await gw.client()
        answer = await client.ask("GET", Kfn_Timing="1")
        spans = _phases(answer.headers["server-timing"])
        assert list(spans) == ["queue", "connect", "handler", "total"]
        assert spans["total"] == pytest.approx(spans["queue"] + spans["connect"] + spans["handler"], abs=0.01)
        assert "server-timing" not in (await client.ask("GET")).headers
        await client.close()
        assert "kfn-timing" not in instance.received[1].headers


async def test_a_client_of_http2_may_ask_too() -> None:
    async with upstream() as instance, routed() as gw, h2_client(gw.gateway.port) as client:
        gw.cluster.instance(instance.port)
        await gw.until(lambda: bool(gw.line().usable))
        assert list(_phases((await client.ask(kfn_timing="1")).headers[b"server-timing"].decode())) == [
            "queue",
            "connect",
            "handler",
            "total",
        ]


@pytest.mark.parametrize("started", [False, True])
async def test_a_cold_request_that_the_gateway_gives_up_is_told_what_it_waited_for(started: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    cluster = Cluster()
    cluster.route()
    cluster.revision(probe=Probe(exec=ExecAction(command=["true"])))  # only a kubelet can see whether it is ready
    async with routed(cluster, wait=0.2, tick=0.01) as gw:
        if started:
            gw.cluster.instance(port, ready=False)
            await gw.until(lambda: bool(gw.line().instances))
        answer = await gw.get()
    assert answer.status == 504
    assert list(_phases(answer.headers["server-timing"])) == ["queue", "ready" if started else "scale", "total"]


async def test_a_functions_own_server_timing_is_kept_beside_ours() -> None:
    async def handler(request, reader, writer) -> bytes:
        return ok(extra="Server-Timing: db;dur=3\r\n")

    async with upstream(handler) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: hello.default.localhost\r\nKfn-Timing: 1\r\n\r\n")
        head = (await client.reader.readuntil(b"\r\n\r\n")).decode().lower()
        await client.close()
        assert head.count("server-timing:") == 2 and "db;dur=3" in head
