"""What RFC 9112 tells a server to refuse is refused, the connection is closed, and no instance sees a byte of it."""

import anyio
import pytest

from tests.conformance.gateway.malformed import CORPUS
from tests.fakes.routed import HOST, routed
from tests.fakes.upstream import upstream

SMUGGLED = f"GET /smuggled HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


@pytest.mark.parametrize("name", CORPUS)
async def test_a_malformed_request_is_refused_and_nothing_behind_it_is_read(name: str) -> None:
    data, status = CORPUS[name]
    async with upstream() as instance, routed(read_head=10) as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(data + SMUGGLED)
        with anyio.fail_after(30):
            answer = await client.reader.read()
        await client.close()
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:100]
        assert answer.count(b"HTTP/1.1 ") == 1, "one answer, and nothing behind it"
        assert b"connection: close" in answer.lower()
        assert "GET /smuggled HTTP/1.1" not in [r.line for r in instance.received]


@pytest.mark.parametrize("name", [n for n, (data, _) in CORPUS.items() if len(data) < 1000])
async def test_it_is_refused_byte_by_byte_too(name: str) -> None:
    data, status = CORPUS[name]
    async with upstream() as instance, routed(read_head=10) as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        with anyio.fail_after(30):
            for at in range(len(data)):
                client.writer.write(data[at : at + 1])
                await anyio.sleep(0)
            client.writer.write(SMUGGLED)
            answer = await client.reader.read()
        await client.close()
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:100]
        assert "GET /smuggled HTTP/1.1" not in [r.line for r in instance.received]
