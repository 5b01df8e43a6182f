"""Instances that speak HTTP/2: connections shared by many requests, and what may be tried again when one is refused."""

import asyncio
from typing import Any

import anyio
import pytest
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from kfn.api.core import HTTPGetAction, Probe
from tests.fakes.http2 import Request, h2_client, h2_upstream, hello2
from tests.fakes.routed import HOST, Cluster, routed
from tests.fakes.upstream import upstream


async def echo2(request: Request) -> None:
    await request.ended.wait()
    request.head(content_length=str(len(request.body)))
    await request.data(bytes(request.body), end=True)


class TestHttp1Clients:
    async def test_bodies_go_both_ways(self) -> None:
        async with h2_upstream(echo2) as instance, routed() as gw:
            gw.cluster.instance(instance.port, name="h2c")
            client = await gw.client()
            for size in (1, 1000, 300_000):
                answer = await client.ask("POST", body=b"x" * size)
                assert (answer.status, len(answer.body), answer.headers["content-length"]) == (200, size, str(size))
            await client.send(
                f"POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n".encode()
            )
            assert (await client.answer()).body == b"abc"
            assert instance.received[-1].trailers == {b"x-sum": b"6"}
            assert b"transfer-encoding" not in instance.received[-1].headers
            await client.close()

    async def test_answers_of_unknown_length_are_chunked_and_keep_their_trailers(self) -> None:
        async def answer(request: Request) -> None:
            request.head(103, link="</a>")
            request.head(200, trailer="x-sum")
            await request.data(b"abc")
            request.end(x_sum="6")

        async with h2_upstream(answer) as instance, routed() as gw:
            gw.cluster.instance(instance.port, name="h2c")
            client = await gw.client()
            got = await client.ask("GET")
            assert (got.interim, got.headers["transfer-encoding"], got.body, got.trailers) == ([103], "chunked", b"abc", {"x-sum": "6"})
            await client.close()

    @pytest.mark.parametrize("status", [200, 204, 304])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_answers_without_a_body(self, status: int, method: str) -> None:
        async def answer(request: Request) -> None:
            request.head(status, end=True)

        async with h2_upstream(answer) as instance, routed() as gw:
            gw.cluster.instance(instance.port, name="h2c")
            client = await gw.client()
            for _ in range(2):
                got = await client.ask(method)
                assert (got.status, got.body) == (status, b"")
            await client.close()

    async def test_an_upgrade_goes_on_without(self) -> None:
        async with h2_upstream() as instance, routed() as gw:
            gw.cluster.instance(instance.port, name="h2c")
            client = await gw.client()
            assert (await client.ask("GET", Connection="Upgrade", Upgrade="websocket")).status == 200
            assert b"upgrade" not in instance.received[0].headers
            await client.close()

    async def test_100_continue_is_the_instances_to_give(self) -> None:
        async def answer(request: Request) -> None:
            request.head(100)
            await echo2(request)

        async with h2_upstream(answer) as instance, routed() as gw:
            gw.cluster.instance(instance.port, name="h2c")
            client = await gw.client()
            await client.send(f"POST / HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n".encode())
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"abc")
            assert (await client.answer()).body == b"abc"
            await client.close()


class TestConnections:
    async def test_a_hundred_requests_at_once_to_a_new_instance_make_one(self) -> None:
        async with h2_upstream() as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            streams = [client.begin() for _ in range(100)]
            await gw.until(lambda: len(gw.line().waiting) == 100)
            gw.cluster.instance(instance.port, name="h2c")
            for stream in streams:
                assert (await client.answer(stream)).status == 200
            assert instance.connections == 1

    async def test_a_hundred_without_a_wait_make_one(self) -> None:
        async with h2_upstream() as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port, name="h2c")
            for stream in [client.begin() for _ in range(100)]:
                assert (await client.answer(stream)).status == 200
            assert instance.connections == 1

    async def test_more_are_opened_when_the_instance_allows_few_streams(self) -> None:
        inside = most = 0

        async def slow(request: Request) -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await anyio.sleep(0.05)
            inside -= 1
            await hello2(request)

        few = {SettingCodes.MAX_CONCURRENT_STREAMS: 5}
        async with h2_upstream(slow, settings=few) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port, name="h2c")
            for stream in [client.begin() for _ in range(40)]:
                assert (await client.answer(stream)).status == 200
            assert most > 5
            assert instance.connections <= 40 / 5

    async def test_an_instance_that_allows_no_streams_is_unreachable(self) -> None:
        none = {SettingCodes.MAX_CONCURRENT_STREAMS: 0}
        async with h2_upstream(settings=none) as instance, routed(unreachable=0.3) as gw:
            gw.cluster.instance(instance.port, name="h2c")
            assert (await gw.get()).status == 502

    async def test_one_that_does_not_speak_http_2_is_told(self) -> None:
        async with upstream() as instance, routed(unreachable=0.3, connect=0.2) as gw:
            gw.cluster.instance(instance.port, name="h2c")
            got = await gw.get()
            assert got.status == 502

    async def test_an_unused_one_is_closed(self) -> None:
        async with h2_upstream() as instance, routed(upstream_idle=0.05) as gw:
            gw.cluster.instance(instance.port, name="h2c")
            assert (await gw.get()).status == 200
            (peer,) = instance.peers
            await gw.until(lambda: peer.closed)
            assert peer.goaway
            assert (await gw.get()).status == 200

    async def test_it_is_probed_by_http_2_and_the_probe_carries_the_request(self) -> None:
        async with h2_upstream() as instance, routed() as gw:
            waiting = asyncio.ensure_future(gw.get())
            await gw.until(lambda: len(gw.line().waiting) == 1)
            gw.cluster.instance(instance.port, name="h2c", ready=False)
            assert (await waiting).status == 200
            assert instance.connections == 1

    async def test_a_readiness_path_is_asked_for_in_http_2(self) -> None:
        ready = False

        async def handler(request: Request) -> None:
            if request.headers[b":path"] == b"/ready":
                request.head(200 if ready else 503, end=True)
            else:
                await hello2(request)

        cluster = Cluster()
        cluster.route()
        cluster.revision(probe=Probe(http_get=HTTPGetAction(path="/ready")))
        async with h2_upstream(handler) as instance, routed(cluster) as gw:
            waiting = asyncio.ensure_future(gw.get())
            await gw.until(lambda: len(gw.line().waiting) == 1)
            gw.cluster.instance(instance.port, name="h2c", ready=False)
            await gw.until(lambda: len(instance.received) > 2)
            assert not waiting.done()
            ready = True
            assert (await waiting).status == 200

    async def test_streams_go_on_while_the_table_changes_and_the_instance_drains(self) -> None:
        go = asyncio.Event()

        async def later(request: Request) -> None:
            request.head()
            await request.data(b"first ")
            await go.wait()
            await request.data(b"last", end=True)

        async with h2_upstream(later) as old, h2_upstream() as new, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(old.port, name="h2c")
            streams = [client.begin() for _ in range(20)]
            await client.until(lambda: all(client.streams[s].body for s in streams))
            gw.cluster.instance(new.port, name="h2c")
            gw.cluster.instance(old.port, name="h2c", terminating=True)
            gw.cluster.route("other")
            await gw.until(lambda: [i.address.port for i in gw.line().usable] == [new.port])
            assert (await client.ask()).body == b"hello", "nothing new goes to the one that drains"
            gw.cluster.remove_instance(old.port)
            go.set()
            for stream in streams:
                assert (await client.answer(stream)).body == b"first last"
            await gw.until(lambda: old.peers[0].closed)


class TestRefusals:
    """Only what cannot have been executed is tried again."""

    async def test_a_refused_stream_is_tried_again_with_its_body(self) -> None:
        seen = 0

        async def refuse_twice(request: Request) -> None:
            nonlocal seen
            seen += 1
            if seen <= 2:
                request.peer.h2.reset_stream(request.id, 7)
            else:
                await echo2(request)

        async with h2_upstream(refuse_twice) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port, name="h2c")
            got = await client.ask("/", "POST", body=b"x" * 20_000)
            assert (got.status, len(got.body)) == (200, 20_000)
            assert seen == 3
            assert gw.line().meter.retries == 2

    async def test_one_that_is_always_refused_is_told(self) -> None:
        async def refuse(request: Request) -> None:
            request.peer.h2.reset_stream(request.id, 7)

        async with h2_upstream(refuse) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port, name="h2c")
            assert (await client.ask()).status == 502
            assert len(instance.received) == 4

    async def test_one_whose_body_is_gone_is_told(self) -> None:
        async def refuse(request: Request) -> None:
            while len(request.body) < 100_000:
                await request.peer.changed.wait()
            request.peer.h2.reset_stream(request.id, 7)

        async with h2_upstream(refuse) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port, name="h2c")
            assert (await client.ask("/", "POST", body=b"x" * 300_000)).status == 502
            assert len(instance.received) == 1

    @pytest.mark.parametrize("code", [0, 2, 8, 11])
    async def test_any_other_reset_is_not_tried_again(self, code: int) -> None:
        async def reset(request: Request) -> None:
            request.peer.h2.reset_stream(request.id, code)

        async with h2_upstream(reset) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port, name="h2c")
            assert (await client.ask()).status == 502
            assert len(instance.received) == 1

    async def test_streams_beyond_a_goaway_go_elsewhere_and_the_others_are_finished(self) -> None:
        go = asyncio.Event()
        first: list[Request] = []

        async def later(request: Request) -> None:
            if request.peer is instance.peers[0]:
                first.append(request)
                if len(first) == 10:  # the last five have not been looked at
                    request.peer.writer.write(GoAwayFrame(0, last_stream_id=first[4].id, error_code=0).serialize())
                await go.wait()
            await hello2(request)

        async with h2_upstream(later) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port, name="h2c")
            streams = [client.begin(f"/{i}") for i in range(10)]
            await client.until(lambda: sum(client.streams[s].ended for s in streams) == 5)
            go.set()
            for stream in streams:
                assert (await client.answer(stream)).status == 200
            assert instance.connections == 2
            assert len(instance.received) == 15
            await gw.until(lambda: instance.peers[0].closed)

    async def test_a_connection_that_breaks_is_told_to_each(self) -> None:
        async def never(request: Request) -> None:
            if len(instance.received) == 10:
                request.peer.writer.transport.abort()

        async with h2_upstream(never) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port, name="h2c")
            for stream in [client.begin() for _ in range(10)]:
                assert (await client.answer(stream)).status == 502


class TestWrongAnswers:
    @pytest.mark.parametrize(
        "fields",
        [
            [(b":status", b"200"), (b"x", b"a\r\nSet-Cookie: evil=1")],
            [(b":status", b"200"), (b"X-Upper", b"1")],
            [(b":status", b"200"), (b"x\r\ny", b"1")],
            [(b":status", b"200"), (b"content-length", b"-1")],
            [(b":status", b"200"), (b"content-length", b"1"), (b"content-length", b"1")],
            [(b":status", b"200"), (b"content-length", b"9" * 5000)],
            [(b":status", b"abc")],
            [(b":status", b"999")],
            [(b"x", b"1")],
        ],
        ids=str,
    )
    async def test_heads_that_are_none_do_not_come_through(self, fields: Any) -> None:
        async def answer(request: Request) -> None:
            request.peer.h2.send_headers(request.id, fields, end_stream=True)

        async with h2_upstream(answer, validate_outbound_headers=False, normalize_outbound_headers=False) as instance, routed() as gw:
            gw.cluster.instance(instance.port, name="h2c")
            got = await gw.get()
            assert got.status == 502
            assert "evil" not in str(got)

    @pytest.mark.parametrize("trailers", [False, True])
    async def test_a_body_shorter_than_was_said_is_cut_for_the_client_too(self, trailers: bool) -> None:
        async def answer(request: Request) -> None:
            request.head(content_length="10")
            await request.data(b"half", end=not trailers)
            if trailers:
                request.end(x_sum="1")

        async with h2_upstream(answer) as instance, routed() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port, name="h2c")
            got = await client.ask()
            assert got.status == 502 or got.reset is not None, "as long as nothing has been sent, it can be told"
            one = await gw.client()
            await one.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            try:
                assert (await one.answer()).status == 502
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            await one.close()

    async def test_a_body_where_there_is_none_does_not_come_through(self) -> None:
        async def answer(request: Request) -> None:
            request.head(204)
            await request.data(b"HTTP/1.1 200 OK\r\n\r\n", end=True)

        async with h2_upstream(answer) as instance, routed() as gw:
            gw.cluster.instance(instance.port, name="h2c")
            one = await gw.client()
            await one.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            try:
                said = await one.reader.read(1000)
            except ConnectionError:
                said = b""
            assert b"200 OK" not in said
            await one.close()

    async def test_a_push_is_no_answer(self) -> None:
        async def answer(request: Request) -> None:
            request.peer.writer.write(bytes.fromhex("0000050504") + request.id.to_bytes(4, "big") + b"\0\0\0\2\x88")

        async with h2_upstream(answer) as instance, routed() as gw:
            gw.cluster.instance(instance.port, name="h2c")
            assert (await gw.get()).status == 502
