"""ASGI 3 applications: scope, receive, send, and lifespan where the application takes part in it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from kfn.function.errors import BadResponse, Disconnected, ImportFailed
from kfn.function.exchange import Exchange

Message = MutableMapping[str, Any]
App = Callable[[Any, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

log = logging.getLogger("kfn.function")


class Asgi:
    """An ASGI application."""

    def __init__(self, app: App, *, lifespan: bool = True) -> None:
        self._app = app
        self._state: dict[str, Any] = {}
        self._lifespan = Lifespan(app, self._state) if lifespan else None

    async def start(self) -> None:
        if self._lifespan is not None:
            await self._lifespan.start()

    async def stop(self) -> None:
        if self._lifespan is not None:
            await self._lifespan.stop()

    async def health(self, what: str) -> tuple[bool, str]:
        return True, "OK"

    async def __call__(self, exchange: Exchange) -> None:
        call = Call(exchange)
        await self._app(scope(exchange, self._state), call.receive, call.send)
        call.ended()


def scope(exchange: Exchange, state: dict[str, Any]) -> dict[str, Any]:
    """The request as ASGI describes it."""
    raw_path, _, query = exchange.target.partition(b"?")
    path = raw_path.decode("latin-1")
    if "%" in path:
        from urllib.parse import unquote

        path = unquote(path)
    scheme = "http"
    for name, value in exchange.headers:
        if name == b"x-forwarded-proto" and value in (b"https", b"http"):
            scheme = value.decode()
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": exchange.version,
        "method": exchange.method.decode(),
        "scheme": scheme,
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": exchange.headers,
        "client": exchange.peer(),
        "server": exchange.local(),
        "state": state.copy(),
        "extensions": {},
    }


class Call:
    """`receive` and `send` of one request."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._started = False
        self._requested = False

    async def receive(self) -> Message:
        if self._requested:
            await self._exchange.closed()
            return {"type": "http.disconnect"}
        try:
            data = await self._exchange.receive()
        except Disconnected:
            return {"type": "http.disconnect"}
        more = bool(data) and not self._exchange.body_complete
        self._requested = not more
        return {"type": "http.request", "body": data, "more_body": more}

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            if self._started:
                raise BadResponse("http.response.start was sent twice")
            self._started = True
            headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            self._exchange.start(message["status"], headers)
        elif kind == "http.response.body":
            if not self._started:
                raise BadResponse("http.response.body was sent before http.response.start")
            data, more = bytes(message.get("body", b"")), bool(message.get("more_body", False))
            if data or not more:
                await self._exchange.send(data, more)
        else:
            raise BadResponse(f"ASGI message {kind!r} is not known here")

    def ended(self) -> None:
        if not self._exchange.complete:
            raise BadResponse("the application returned without a complete response")


class Lifespan:
    """The application's startup and shutdown, if it takes part; an application that raises does not."""

    def __init__(self, app: App, state: dict[str, Any]) -> None:
        self._app = app
        self._state = state
        self._task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="lifespan")
        answer = await self._ask("lifespan.startup")
        if answer["type"] == "lifespan.startup.failed":
            raise ImportFailed(f"The application's startup failed: {answer.get('message') or 'it gave no reason'}.")

    async def stop(self) -> None:
        if self._task is None:
            return
        if not self._task.done():
            answer = await self._ask("lifespan.shutdown")
            if answer["type"] == "lifespan.shutdown.failed":
                log.error("the application's shutdown failed: %s", answer.get("message", ""))
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _ask(self, kind: str) -> Message:
        self._messages.put_nowait({"type": kind})
        return await self._answers.get()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self._app(scope, self._messages.get, self._send)
        except Exception as error:
            log.debug("the application takes no part in lifespan: %r", error)
        finally:
            self._answers.put_nowait({"type": "none"})

    async def _send(self, message: Message) -> None:
        if not message["type"].startswith("lifespan."):
            raise BadResponse("the application answers lifespan as if it were a request")
        self._answers.put_nowait(message)
