"""A client that was not read from for a while, or asked for much at once, is read from again: its connection goes on."""

import anyio
import pytest

from tests.fakes.routed import HOST, routed
from tests.fakes.upstream import Reader, Received, Writer, ok, upstream

GET = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
NOBODY = b"GET / HTTP/1.1\r\nHost: nobody\r\n%b\r\n"


async def _slow(request: Received, reader: Reader, writer: Writer) -> bytes | None:
    await anyio.sleep(0.1)
    return ok()


async def test_after_a_body_that_was_too_large_to_wait_with_but_complete_the_client_is_read_from_again() -> None:
    async with routed() as gw:
        client = await gw.client()
        body = b"x" * 100_000  # over waiting_body, and in few reads
        await client.send(b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\n" % (HOST.encode(), len(body)) + body)
        await gw.until(lambda: gw.line().meter.concurrency == 1)
        await anyio.sleep(0.05)
        async with upstream() as one:
            gw.cluster.instance(one.port)
            assert (await client.answer()).status == 200
            await client.send(GET)
            assert (await client.answer(seconds=10)).status == 200
            await client.close()


async def test_after_pipelined_requests_that_were_all_refused_at_once_the_client_is_read_from_again() -> None:
    async with upstream(_slow) as one, routed() as gw:
        gw.cluster.instance(one.port)
        client = await gw.client()
        await client.send(GET + NOBODY % b"" * 8)
        assert [(await client.answer()).status for _ in range(9)] == [200] + [404] * 8
        await client.send(GET)
        assert (await client.answer(seconds=10)).status == 200
        await client.close()


@pytest.mark.parametrize("protocol", [b"h2c", b"other"])
async def test_thousands_of_requests_for_an_upgrade_in_one_read_are_answered_one_by_one(protocol: bytes) -> None:
    async with routed() as gw:
        client = await gw.client()
        await client.send(NOBODY % (b"Connection: upgrade\r\nUpgrade: " + protocol + b"\r\n") * 1500)
        for _ in range(1500):  # more than functions may call each other
            assert (await client.answer()).status == 404
        await client.close()
