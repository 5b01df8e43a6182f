"""A request goes through the gateway to a real upstream server and back."""

import asyncio

from tests.fakes.routed import HOST, HttpClient, routed
from tests.fakes.upstream import Reader, Received, Writer, upstream


async def test_a_request_reaches_the_instance_and_its_answer_the_client() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        answer = await gw.get("/a?b=c", Accept="text/html")
        assert (answer.status, answer.text) == (200, "hello")
        got = instance.received[0]
        assert got.line == "GET /a?b=c HTTP/1.1"
        assert got.headers["host"] == HOST
        assert got.headers["accept"] == "text/html"
        assert got.headers["x-forwarded-for"] == "127.0.0.1"
        assert got.headers["x-forwarded-proto"] == "http"
        assert got.headers["forwarded"] == f"for=127.0.0.1;host={HOST};proto=http"
        assert len(got.headers["traceparent"]) == 55
        assert got.headers["x-request-id"]


async def test_a_request_at_zero_waits_and_pokes_the_autoscaler_once() -> None:
    async with upstream() as instance, routed() as gw:
        asked = asyncio.create_task(gw.get())
        await gw.until(lambda: bool(gw.sink.pokes))
        assert gw.sink.pokes == [("default/hello-00001", 1)]
        gw.cluster.instance(instance.port, ready=False)  # the gateway's own probe finds it
        answer = await asked
        assert answer.text == "hello"
        assert "queue;dur=" in answer.headers["server-timing"]
        assert instance.connections == 1, "the probe's connection should carry the first request"


async def test_connections_are_kept_on_both_sides() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        for number in range(5):
            assert (await client.ask("POST", f"/{number}", body=b"x" * number)).status == 200
        await client.close()
        assert [len(r.body) for r in instance.received] == [0, 1, 2, 3, 4]
        assert instance.connections == 1


async def test_an_unknown_host_is_404_and_names_a_similar_one() -> None:
    async with routed() as gw:
        answer = await gw.get(host="helo.default.localhost:8080")
        assert answer.status == 404
        assert answer.text == "No function has the host helo.default.localhost. Did you mean hello.default.localhost?\n"


async def test_a_chunked_answer_streams_its_first_byte_at_once() -> None:
    more = asyncio.Event()

    async def slowly(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await more.wait()
        return b"3\r\ntwo\r\n0\r\n\r\n"

    async with upstream(slowly) as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await HttpClient.connect(gw.gateway.port)
        await client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        head = await client.reader.readuntil(b"one\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        more.set()
        assert await client.reader.readuntil(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"
        await client.close()
