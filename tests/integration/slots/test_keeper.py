"""The keeper of slots on real sockets: who is let in, what is refused, and gateways that find it, lose it and find another."""

import asyncio
import logging
import os
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.slots import keeper
from gateway.slots import wire as slotwire
from gateway.slots.wire import Give, Grant, Have, Hello, Ping, Pong, Ready, See, Want, Welcome
from kfn.kube.client import Client
from kfn.kube.lease import Elector, Terms
from kfn.observe import web
from tests.fakes.kube import FakeApi
from tests.fakes.routed import Cluster, Routed, routed
from tests.fakes.upstream import ok, upstream

REV = "default/hello-00001"


def unix(tmp_path: Path, name: str = "slots") -> str:
    return f"unix:{tmp_path}/{name}"


class Peer:
    """A gateway, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, address: str) -> "Peer":
        where = slotwire.Address.parse(address)
        if where.path:
            return cls(*await asyncio.open_unix_connection(where.path))
        return cls(*await asyncio.open_connection(where.host, where.port))

    def say(self, *frames: slotwire.Frame | bytes) -> None:
        self.writer.write(b"".join(f if isinstance(f, bytes) else slotwire.encode(f) + b"\n" for f in frames))

    async def hear(self) -> Any:
        """The next frame, or None: the connection is closed."""
        with anyio.fail_after(10):
            try:
                line = await self.reader.readline()
            except ConnectionError:
                return None
        return slotwire.from_keeper(line) if line else None

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass


@asynccontextmanager
async def peers(address: str, count: int, token: str = "") -> AsyncIterator[list[Peer]]:
    """Gateways that have been welcomed and see one instance that takes one request."""
    found = []
    for number in range(count):
        peer = await Peer.connect(address)
        found.append(peer)
        peer.say(Hello(token, f"g{number}"), Ready(), See(REV, 1, 300.0, ("a:1",)))
        assert isinstance(await peer.hear(), Welcome)
    try:
        yield found
    finally:
        for peer in found:
            await peer.close()


class TestTheWire:
    async def test_a_want_is_granted_and_goes_on_to_the_next_when_it_is_given_back(self, tmp_path: Path) -> None:
        async with keeper.serving(unix(tmp_path), fresh=True) as one, peers(one.address, 2) as (a, b):
            a.say(Want(REV, 1, 0, 0))
            assert await a.hear() == Grant(REV, {"a:1": 1})
            b.say(Want(REV, 1, 0, 0))
            assert await a.hear() == slotwire.Recall(REV, 1)
            a.say(Give(REV, "a:1", 1))
            assert await b.hear() == Grant(REV, {"a:1": 1})

    async def test_a_ping_is_answered(self, tmp_path: Path) -> None:
        async with keeper.serving(unix(tmp_path)) as one, peers(one.address, 1) as (a,):
            a.say(Ping(7))
            assert await a.hear() == Pong(7)

    async def test_what_is_not_a_gateways_own_any_more_is_said_before_it_is_welcome(self, tmp_path: Path) -> None:
        async with keeper.serving(unix(tmp_path), fresh=True) as one, peers(one.address, 1) as (a,):
            a.say(Want(REV, 1, 0, 0))
            assert await a.hear() == Grant(REV, {"a:1": 1})
            late = await Peer.connect(one.address)
            late.say(Hello("", "late"), Have(REV, "a:1", 1), Ready())
            said = [await late.hear()]
            if said == [Welcome(keeper.TTL)]:
                pytest.fail("it would use the slot that another has")
            await late.close()

    async def test_a_frame_may_come_byte_by_byte(self, tmp_path: Path) -> None:
        async with keeper.serving(unix(tmp_path), fresh=True) as one, peers(one.address, 1) as (a,):
            for byte in slotwire.encode(Want(REV, 1, 0, 0)) + b"\n":
                a.say(bytes([byte]))
                await a.writer.drain()
                await anyio.sleep(0)
            assert await a.hear() == Grant(REV, {"a:1": 1})

    @pytest.mark.parametrize(
        "said",
        [
            b"\n",
            b"nonsense\n",
            b'["unknown"]\n',
            b'["want","a/b","many",0,0]\n',
            b'["want","a/b"]\n',
            b"\x00\xff\n",
            b"[" * 1000 + b"\n",
            b"x" * (slotwire.MAX_FRAME + 1),
            Hello("", "g0"),
            Give(REV, "a:1", 1),
            Have(REV, "a:1", -1),
        ],
        ids=[
            "empty",
            "no-json",
            "unknown",
            "wrong-type",
            "too-short",
            "no-text",
            "deep",
            "too-long",
            "hello-twice",
            "gives-what-it-has-not",
            "negative",
        ],
    )
    async def test_what_is_no_frame_or_cannot_be_ends_that_connection_and_no_other(
        self, tmp_path: Path, said: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with keeper.serving(unix(tmp_path), fresh=True) as one, peers(one.address, 2) as (a, b):
            a.say(said)
            assert await a.hear() is None
            b.say(Want(REV, 1, 0, 0))
            assert await b.hear() == Grant(REV, {"a:1": 1})
        assert "is closed" in caplog.text


class TestTheDoor:
    @pytest.mark.parametrize("token", ["", "wrong", "secret ", "SECRET", "sécret"])
    async def test_who_has_not_the_token_hears_nothing(self, token: str, caplog: pytest.LogCaptureFixture) -> None:
        async with keeper.serving("127.0.0.1:0", token="secret") as one:
            peer = await Peer.connect(one.address)
            peer.say(Hello(token, "g"), Ready())
            assert await peer.hear() is None
            await peer.close()
            assert not one.ledger.sessions
        assert "secret" not in caplog.text

    async def test_who_has_it_is_let_in(self) -> None:
        async with keeper.serving("127.0.0.1:0", token="secret") as one, peers(one.address, 1, token="secret"):
            assert len(one.ledger.sessions) == 1

    async def test_a_stranger_may_not_fill_the_memory(self) -> None:
        async with keeper.serving("127.0.0.1:0", token="secret") as one:
            peer = await Peer.connect(one.address)
            peer.say(b"x" * (slotwire.MAX_FIRST + 1))
            assert await peer.hear() is None
            await peer.close()

    async def test_a_stranger_may_not_stay(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keeper, "MANNERS", 0.05)
        async with keeper.serving("127.0.0.1:0", token="secret") as one:
            peer = await Peer.connect(one.address)
            assert await peer.hear() is None
            await peer.close()

    async def test_more_connections_than_there_may_be_are_closed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keeper, "MOST", 2)
        async with keeper.serving(unix(tmp_path)) as one, peers(one.address, 2) as (a, _):
            peer = await Peer.connect(one.address)
            assert await peer.hear() is None
            await peer.close()
            a.say(Ping(1))
            assert await a.hear() == Pong(1)

    async def test_another_version_is_refused(self, tmp_path: Path) -> None:
        async with keeper.serving(unix(tmp_path)) as one:
            peer = await Peer.connect(one.address)
            peer.say(Hello("", "g", 2))
            assert await peer.hear() is None
            await peer.close()

    async def test_on_tcp_there_must_be_a_token(self) -> None:
        with pytest.raises(ValueError, match="needs a token"):
            async with keeper.serving("127.0.0.1:0"):
                pass

    async def test_the_socket_is_the_users_own_and_gone_at_the_end(self, tmp_path: Path) -> None:
        async with keeper.serving(unix(tmp_path)):
            assert stat.S_IMODE(os.stat(tmp_path / "slots").st_mode) == 0o600
        assert not (tmp_path / "slots").exists()

    async def test_there_is_one_keeper_to_a_path(self, tmp_path: Path) -> None:
        async with keeper.serving(unix(tmp_path)):
            with pytest.raises(web.ListenError, match="another keeper"):
                async with keeper.serving(unix(tmp_path)):
                    pass

    async def test_the_socket_of_one_that_was_killed_is_replaced(self, tmp_path: Path) -> None:
        import socket

        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / "slots"))
        async with keeper.serving(unix(tmp_path)) as one, peers(one.address, 1):
            pass

    async def test_a_file_that_is_no_socket_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "slots").write_text("mine")
        with pytest.raises(web.ListenError, match="cannot listen on unix:"):
            async with keeper.serving(unix(tmp_path)):
                pass
        assert (tmp_path / "slots").read_text() == "mine"


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("unix:/run/kfn/slots", slotwire.Address(path="/run/kfn/slots")),
            ("keeper:7000", slotwire.Address("keeper", 7000)),
            ("[::1]:7000", slotwire.Address("::1", 7000)),
        ],
    )
    def test_an_address_is_read_and_written(self, text: str, address: slotwire.Address) -> None:
        assert slotwire.Address.parse(text) == address
        assert str(address) == text

    @pytest.mark.parametrize("text", ["keeper", "unix:", ":7000", "keeper:port", "keeper:70000", "keeper:"])
    def test_what_is_none_is_named(self, text: str) -> None:
        with pytest.raises(ValueError, match="slots address"):
            slotwire.addresses(text)


async def _leased(gw: Routed) -> None:
    """Wait until the gateway has been welcomed."""
    assert gw.gateway.chain is not None
    slots = gw.gateway.chain.shared.slots
    assert slots is not None
    await gw.until(lambda: slots.sure)


def limited() -> Cluster:
    cluster = Cluster()
    cluster.route()
    cluster.revision(container_concurrency=1)
    return cluster


class TestAGateway:
    async def test_keeps_the_limit_with_another_gateway(self, tmp_path: Path) -> None:
        async def slow(*_: Any) -> bytes:
            await anyio.sleep(0.01)
            return ok()

        async with (
            keeper.serving(unix(tmp_path), fresh=True) as one,
            upstream(slow) as instance,
            routed(limited(), slots=one.address) as a,
            routed(limited(), slots=one.address) as b,
        ):
            for gw in (a, b):
                gw.cluster.instance(instance.port)
            answers: list[int] = []

            async def ask(gw: Routed) -> None:
                answers.append((await gw.get()).status)

            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(ask, (a, b)[number % 2])
            assert answers == [200] * 20
            assert instance.concurrent == 1

    async def test_a_revision_without_a_limit_never_asks(self, tmp_path: Path) -> None:
        cluster = Cluster()
        cluster.route()
        cluster.revision()
        async with upstream() as instance, routed(cluster, slots=unix(tmp_path)) as gw:
            gw.cluster.instance(instance.port)
            assert (await gw.get()).status == 200, "there is no keeper at all"

    async def test_a_request_at_zero_pokes_although_there_is_no_keeper(self, tmp_path: Path) -> None:
        async with routed(limited(), slots=unix(tmp_path), wait=0.2) as gw:
            assert (await gw.get()).status == 504
            assert gw.sink.pokes == [(REV, 1)]

    async def test_without_a_keeper_requests_wait_and_the_answer_says_for_what(self, tmp_path: Path) -> None:
        async with upstream() as instance, routed(limited(), slots=unix(tmp_path), wait=0.2) as gw:
            gw.cluster.instance(instance.port)
            answer = await gw.get()
            assert answer.status == 504 and "keeper of slots" in answer.text
            assert not instance.received

    async def test_requests_that_wait_go_on_when_the_keeper_comes(self, tmp_path: Path) -> None:
        async with upstream() as instance, routed(limited(), slots=unix(tmp_path)) as gw:
            gw.cluster.instance(instance.port)
            client = await gw.client()
            await client.send(b"GET / HTTP/1.1\r\nHost: hello.default.localhost\r\n\r\n")
            await gw.until(lambda: len(gw.line().waiting) == 1)
            async with keeper.serving(unix(tmp_path), fresh=True):
                assert (await client.answer()).status == 200
                await client.close()

    async def test_a_client_that_leaves_takes_its_want_along(self, tmp_path: Path) -> None:
        started = anyio.Event()
        go_on = anyio.Event()

        async def slow(*_: Any) -> bytes:
            started.set()
            await go_on.wait()
            return ok()

        async with (
            keeper.serving(unix(tmp_path), fresh=True) as one,
            upstream(slow) as instance,
            routed(limited(), slots=one.address) as gw,
        ):
            gw.cluster.instance(instance.port)
            clients = [await gw.client() for _ in range(2)]
            await clients[0].send(b"GET / HTTP/1.1\r\nHost: hello.default.localhost\r\n\r\n")
            await started.wait()
            await clients[1].send(b"GET / HTTP/1.1\r\nHost: hello.default.localhost\r\n\r\n")
            book = one.ledger.books[REV]
            await gw.until(lambda: sum(run.count for run in book.queue) == 1)
            await clients[1].close()
            await gw.until(lambda: not book.queue)
            go_on.set()
            assert (await clients[0].answer()).status == 200
            await clients[0].close()

    async def test_a_gateway_that_stops_gives_its_slots_back_at_once(self, tmp_path: Path) -> None:
        async with keeper.serving(unix(tmp_path), fresh=True, ttl=60.0) as one, upstream() as instance:
            async with routed(limited(), slots=one.address, slots_idle=60.0) as gw:
                gw.cluster.instance(instance.port)
                assert (await gw.get()).status == 200
                assert one.ledger.books[REV].out
            with anyio.fail_after(10):
                while one.ledger.sessions:
                    await anyio.sleep(0.005)

    async def test_an_instance_that_drains_gets_nothing_new_and_its_slot_goes_back(self, tmp_path: Path) -> None:
        async with (
            keeper.serving(unix(tmp_path), fresh=True) as one,
            upstream() as old,
            upstream() as new,
            routed(limited(), slots=one.address, slots_idle=60.0) as gw,
        ):
            gw.cluster.instance(old.port)
            assert (await gw.get()).status == 200
            gw.cluster.instance(new.port)
            gw.cluster.instance(old.port, terminating=True)
            await gw.until(lambda: len(gw.line().usable) == 1 and not one.ledger.books[REV].out)
            assert (await gw.get()).status == 200
            assert [len(old.received), len(new.received)] == [1, 1]

    async def test_an_instance_that_refuses_connections_does_not_keep_its_slot(self, tmp_path: Path) -> None:
        async with keeper.serving(unix(tmp_path), fresh=True) as one, upstream() as gone, upstream() as alive:
            dead = gone.port
            async with AsyncExitStack() as stack:
                gw = await stack.enter_async_context(routed(limited(), slots=one.address))
                gw.cluster.instance(dead)
                gw.cluster.instance(alive.port)
                await _leased(gw)
                answers = [(await gw.get()).status for _ in range(4)]
                assert answers == [200] * 4


class TestFailover:
    async def test_a_gateway_tries_the_keepers_in_turn(self, tmp_path: Path) -> None:
        both = f"{unix(tmp_path, 'one')},{unix(tmp_path, 'two')}"
        async with upstream() as instance, routed(limited(), slots=both) as gw:
            gw.cluster.instance(instance.port)
            async with keeper.serving(unix(tmp_path, "two"), fresh=True):
                assert (await gw.get()).status == 200
            async with keeper.serving(unix(tmp_path, "one"), ttl=0.1):
                assert (await gw.get()).status == 200

    async def test_a_keeper_that_accepts_and_says_nothing_is_left(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.slots.link.CONNECT", 0.1)
        both = f"{unix(tmp_path, 'mute')},{unix(tmp_path, 'two')}"
        held: list[asyncio.StreamWriter] = []
        server = await asyncio.start_unix_server(lambda _, writer: held.append(writer), tmp_path / "mute")
        async with (
            keeper.serving(unix(tmp_path, "two"), fresh=True),
            upstream() as instance,
            routed(limited(), slots=both) as gw,
        ):
            gw.cluster.instance(instance.port)
            assert (await gw.get()).status == 200
        for writer in held:
            writer.close()
        server.close()
        await server.wait_closed()

    async def test_of_several_that_contend_for_a_lease_one_is_the_keeper_and_another_when_it_ends(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        api = FakeApi()
        addresses = [unix(tmp_path, name) for name in ("one", "two")]
        terms = Terms(duration=1.0, renew_deadline=0.8, retry=0.05)

        async def contend(number: int, scopes: dict[int, anyio.CancelScope]) -> None:
            with anyio.CancelScope() as scopes[number]:
                elector = Elector(Client(api), "default", "slots", f"replica-{number}", terms)
                await keeper.elected(elector, addresses[number], token="secret", ttl=0.1)

        def listening() -> Sequence[int]:
            return [number for number in range(2) if (tmp_path / ("one", "two")[number]).exists()]

        scopes: dict[int, anyio.CancelScope] = {}
        async with upstream() as instance, routed(limited(), slots=",".join(addresses), slots_token="secret") as gw:
            gw.cluster.instance(instance.port)
            async with anyio.create_task_group() as tasks:
                for number in range(2):
                    tasks.start_soon(contend, number, scopes)
                assert (await gw.get()).status == 200
                first = listening()
                assert len(first) == 1
                scopes[first[0]].cancel()
                await gw.until(lambda: len(listening()) == 1 and listening() != first)
                await anyio.sleep(0.15)
                assert (await gw.get()).status == 200
                tasks.cancel_scope.cancel()
