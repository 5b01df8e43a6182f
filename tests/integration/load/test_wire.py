"""Load over the wire: a gateway's sender and an autoscaler's receiver on a real connection, and what either does when the other fails."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette

from autoscaler.receive import Receiver
from autoscaler.settings import Settings as AutoscalerSettings
from gateway.load.report import Reporter
from gateway.settings import Settings
from kfn import load_wire
from kfn.load import RevisionKey, Sample
from kfn.observe import web

TOKEN = "a-token-of-the-tests"
KEY = RevisionKey("default", "hello-00001")
LOADED = b'{"say":"report","samples":[{"namespace":"d","revision":"r","concurrency":%b,"requests":1,"period":1}]}\n'


@dataclass
class Heard:
    """An autoscaler that only listens."""

    pokes: list[tuple[str, RevisionKey, int]] = field(default_factory=list)
    samples: list[tuple[str, Sample, float]] = field(default_factory=list)
    gone_gateways: list[str] = field(default_factory=list)

    def poke(self, revision: RevisionKey, waiting: int, gateway: str) -> None:
        self.pokes.append((gateway, revision, waiting))

    def report(self, samples: Sequence[Sample], gateway: str, age: float) -> None:
        self.samples += [(gateway, sample, age) for sample in samples]

    def arrived(self, gateway: str) -> None:
        pass

    def gone(self, gateway: str) -> None:
        self.gone_gateways.append(gateway)


def sample(requests: int = 1, waiting: int = 0, revision: RevisionKey = KEY) -> Sample:
    return Sample(revision, 0.5, requests, waiting, 1.0, 0.25)


@asynccontextmanager
async def receiving(heard: Heard, *, port: int = 0, **settings: Any) -> AsyncIterator[str]:
    receiver = Receiver(heard, TOKEN, AutoscalerSettings(**settings))
    async with web.serving(Starlette(routes=[receiver.route]), port=port, drain=1) as at:
        try:
            yield f"http://127.0.0.1:{at}"
        finally:
            receiver.end()


@asynccontextmanager
async def reporting(url: str, gateway: str = "gw-1", token: str = TOKEN, **settings: Any) -> AsyncIterator[Reporter]:
    reporter = Reporter(url, lambda: token, gateway, Settings(**{"load_retry": 0.1, **settings}))
    async with reporter.running():
        yield reporter


async def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    with anyio.fail_after(seconds):
        while not true():
            await anyio.sleep(0.002)


class TestBoth:
    async def test_what_is_said_arrives_whole_and_with_the_name_of_the_gateway(self) -> None:
        heard = Heard()
        async with receiving(heard) as url, reporting(url, "one") as one, reporting(url, "two") as two:
            await until(lambda: one.connected and two.connected)
            one.report([sample(7, waiting=3)])
            two.poke(KEY, 4)
            await until(lambda: heard.samples and heard.pokes)
            gateway, got, age = heard.samples[0]
            assert (gateway, got) == ("one", sample(7, waiting=3)) and age < 1
            assert heard.pokes == [("two", KEY, 4)]

    async def test_a_poke_is_written_in_the_turn_in_which_it_is_made(self) -> None:
        """The one who listens reads the socket itself, and this loop has no turn in between."""
        listener = socket.create_server(("127.0.0.1", 0))
        with listener:
            async with reporting(f"http://127.0.0.1:{listener.getsockname()[1]}") as reporter:
                peer = (await asyncio.to_thread(listener.accept))[0]
                with peer:
                    peer.settimeout(20)
                    await asyncio.to_thread(_until_read, peer, b"\r\n\r\n")
                    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n\n\r\n")
                    await until(lambda: reporter.connected)
                    asyncio.get_running_loop().call_soon(reporter.poke, KEY, 1)
                    asyncio.get_running_loop().call_soon(lambda: None)
                    await asyncio.sleep(0)  # one turn: the call above
                    await asyncio.sleep(0)  # uvloop writes at the end of a turn
                    assert b'"poke"' in peer.recv(4096)

    async def test_a_large_report_comes_in_several_messages(self) -> None:
        heard = Heard()
        names = [RevisionKey("n" * 63, f"{n:0253}") for n in range(1201)]
        async with receiving(heard) as url, reporting(url) as reporter:
            reporter.report([sample(revision=name) for name in names])
            await until(lambda: len(heard.samples) == 1201)
            assert [s.revision for _, s, _ in heard.samples] == names

    async def test_a_gateway_that_ends_is_gone_at_once_and_its_last_report_has_come_before(self) -> None:
        heard = Heard()
        async with receiving(heard) as url:
            async with reporting(url, "one") as reporter:
                await until(lambda: reporter.connected)
                reporter.report([sample(9)])
            await until(lambda: heard.gone_gateways == ["one"], 2.0)
            assert [s.requests for _, s, _ in heard.samples] == [9]

    async def test_signs_of_life_keep_an_idle_connection(self) -> None:
        heard = Heard()
        async with receiving(heard, gateway_silence=2.5) as url, reporting(url, load_silence=2.5) as reporter:
            await until(lambda: reporter.connected)
            await anyio.sleep(4)
            assert reporter.connected and not heard.gone_gateways


class TestAutoscalerAway:
    async def test_reports_made_meanwhile_come_with_their_age_and_what_still_waits_is_poked_again(self) -> None:
        heard = Heard()
        gone = RevisionKey("default", "answered-00001")
        async with receiving(Heard()) as url:
            port = int(url.rpartition(":")[2])
        async with reporting(url) as reporter:
            reporter.poke(KEY, 5)
            reporter.poke(gone, 1)
            reporter.report([sample(1, waiting=5), sample(1, revision=gone)])
            await anyio.sleep(0.5)
            reporter.report([sample(2, waiting=6)])
            async with receiving(heard, port=port):
                await until(lambda: heard.pokes)
        assert heard.pokes == [("gw-1", KEY, 6)]
        assert [s.requests for _, s, _ in heard.samples] == [1, 1, 2]
        first, last = heard.samples[0][2], heard.samples[-1][2]
        assert first - last > 0.4

    async def test_what_is_kept_is_bounded_and_the_oldest_goes_first(self) -> None:
        heard = Heard()
        async with receiving(Heard()) as url:
            port = int(url.rpartition(":")[2])
        async with reporting(url, load_reports=3, load_samples=100) as reporter:
            for n in range(10):
                reporter.report([sample(n)])
            assert reporter.dropped == 7
            async with receiving(heard, port=port):
                await until(lambda: len(heard.samples) == 3)
        assert [s.requests for _, s, _ in heard.samples] == [7, 8, 9]
        async with reporting("http://127.0.0.1:1", load_samples=10) as reporter:
            reporter.report([sample()] * 11)
            assert reporter.dropped == 11

    async def test_one_that_restarts_is_found_again(self) -> None:
        first, second = Heard(), Heard()
        async with receiving(first) as url, reporting(url) as reporter:
            await until(lambda: reporter.connected)
            port = int(url.rpartition(":")[2])
        async with reporting(url) as reporter, receiving(second, port=port):
            await until(lambda: reporter.connected)
            reporter.report([sample(3)])
            await until(lambda: second.samples)

    async def test_one_that_accepts_and_says_nothing_is_left(self) -> None:
        connections = []

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await reader.read()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            async with reporting(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", load_silence=0.5):
                await until(lambda: len(connections) == 2)
            for writer in connections:
                writer.close()

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (b"HTTP/1.1 503 Not now\r\nContent-Length: 8\r\n\r\nstopping", "it answered 503: stopping"),
            (b"SSH-2.0-OpenSSH\r\n", "speaks no HTTP"),
            (b"", "it closed the connection"),
        ],
        ids=["an answer that is not 200", "another protocol", "nothing"],
    )
    async def test_the_reason_is_logged_once(self, answer: bytes, reason: str, caplog: pytest.LogCaptureFixture) -> None:
        times = 0

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal times
            times += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        async with (
            await asyncio.start_server(refuse, "127.0.0.1", 0) as server,
            reporting(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as reporter,
        ):
            reporter.poke(KEY, 1)
            await until(lambda: times > 3)
        warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
        assert len(warnings) == 1 and reason in warnings[0]


class TestRefused:
    async def ask(self, url: str, content: bytes = b"", **headers: str) -> httpx.Response:
        given = {"Authorization": f"Bearer {TOKEN}", load_wire.GATEWAY: "gw", **headers}
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            return await http.post(url + load_wire.PATH, content=content, headers=given)

    async def test_without_the_token(self) -> None:
        heard = Heard()
        async with receiving(heard) as url:
            for given in ("", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}"):
                answer = await self.ask(url, load_wire.poke(KEY, 1), Authorization=given)
                assert answer.status_code == 401
        assert not heard.pokes

    async def test_without_a_name_or_when_there_are_too_many(self) -> None:
        async with receiving(Heard(), gateways=1) as url:
            for name in ("", "a b", "x" * 129, "-a"):
                answer = await self.ask(url, **{load_wire.GATEWAY: name})
                assert answer.status_code == 400 and load_wire.GATEWAY in answer.text
            async with reporting(url, "first") as reporter:
                await until(lambda: reporter.connected)
                answer = await self.ask(url, **{load_wire.GATEWAY: "second"})
                assert answer.status_code == 503 and "1 gateways" in answer.text

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"nonsense\n", "JSON is malformed"),
            (b'{"say":"hello"}\n', "hello"),
            (b'{"say":"poke","namespace":"d","revision":"r","waiting":-1}\n', ">= 0"),
            (b'{"say":"poke","namespace":"d","revision":"","waiting":1}\n', "length >= 1"),
            (LOADED % b"1e300", "$.samples[0].concurrency"),
            (LOADED % b"NaN", "malformed"),
            (b'{"say":"report","samples":[{"namespace":"d","revision":"r"}]}\n', "concurrency"),
            (b'{"say":"poke","namespace":"\xff","revision":"r","waiting":1}\n', ""),
            (b"x" * (load_wire.MAX_LINE + 1), "longer than 262144 bytes"),
            (b'{"say":"report","samples":[' + b",".join([b"{}"] * 501) + b"]}\n", ""),
        ],
        ids=[
            "no JSON", "unknown message", "negative", "no name", "huge", "not a number", "fields missing", "not UTF-8",
            "too long", "too many",
        ],
    )  # fmt: skip
    async def test_what_is_no_message_ends_the_connection_with_the_reason(self, line: bytes, reason: str) -> None:
        heard = Heard()
        async with receiving(heard) as url:
            answer = await self.ask(url, load_wire.poke(KEY, 2) + line + load_wire.poke(KEY, 3))
            assert answer.status_code == 200 and '"error"' in answer.text and reason in answer.text
            assert heard.pokes == [("gw", KEY, 2)], "what came before it counts"
            assert heard.gone_gateways == ["gw"]

    async def test_one_that_says_nothing_is_let_go(self) -> None:
        heard = Heard()
        async with receiving(heard, gateway_silence=0.3) as url:
            reader, writer = await asyncio.open_connection(*_address(url))
            writer.write(_head("quiet"))
            assert b"nothing came for 0.3 s" in await reader.read()
            writer.close()
            await until(lambda: heard.gone_gateways == ["quiet"])

    async def test_a_gateway_that_comes_again_takes_the_place_of_its_old_connection(self) -> None:
        heard = Heard()
        async with receiving(heard) as url:
            old_reader, old = await asyncio.open_connection(*_address(url))
            old.write(_head("same"))
            await old_reader.readuntil(b"\n")
            async with reporting(url, "same") as reporter:
                await until(lambda: reporter.connected)
                await old_reader.read()  # it was ended
                reporter.report([sample(5)])
                await until(lambda: heard.samples)
                assert not heard.gone_gateways, "it is still there"
            old.close()


def _head(gateway: str) -> bytes:
    return (
        f"POST /load HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n{load_wire.GATEWAY}: {gateway}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode()


def _address(url: str) -> tuple[str, int]:
    return "127.0.0.1", int(url.rpartition(":")[2])


def _until_read(peer: socket.socket, end: bytes) -> None:
    got = b""
    while end not in got:
        got += peer.recv(4096)
