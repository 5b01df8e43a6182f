"""A server of ours that is stopped waits for the requests that it has under way, whatever way it is stopped."""

import asyncio
from typing import Any

import anyio

from kfn.observe.web import serving


class App:
    """Begins an answer, and goes on with it until it is cancelled."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.over = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        self.begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)  # it has things to clear up
            self.over = True


async def _ask(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return reader, writer


async def _hung_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with anyio.fail_after(20):
        try:
            await reader.read()
        except ConnectionError:
            pass
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_one_that_is_cancelled_leaves_no_request_and_no_connection() -> None:
    app = App()
    with anyio.CancelScope() as scope:
        async with serving(app) as port:
            reader, writer = await _ask(port)
            await app.begun.wait()
            scope.cancel()
            await anyio.sleep_forever()
    assert app.over
    await _hung_up(reader, writer)


async def test_one_that_ends_leaves_no_request_that_outlasts_its_drain() -> None:
    app = App()
    async with serving(app, drain=1) as port:
        reader, writer = await _ask(port)
        await app.begun.wait()
    assert app.over
    await _hung_up(reader, writer)
