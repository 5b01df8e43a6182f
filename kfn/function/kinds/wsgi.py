"""WSGI applications: called in a thread with the whole body, their iterable streamed."""

import sys
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from kfn.function.errors import BadResponse
from kfn.function.exchange import Exchange
from kfn.function.kinds.plain import send_each
from kfn.function.threads import Threads

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Wsgi:
    """A WSGI application."""

    def __init__(self, app: App, threads: Threads, max_body: int) -> None:
        self._app = app
        self._threads = threads
        self._max_body = max_body

    async def start(self) -> None:
        """WSGI has no startup."""

    async def stop(self) -> None:
        """WSGI has no shutdown."""

    async def health(self, what: str) -> tuple[bool, str]:
        return True, "OK"

    async def __call__(self, exchange: Exchange) -> None:
        body = await exchange.read(self._max_body)
        begun = Begun()
        result = await self._threads.run(self._app, environ(exchange, body, self._threads.size > 1), begun)
        if isinstance(result, list | tuple) and begun.status and not begun.written:
            exchange.respond(begun.status, begun.headers, b"".join(result))
            return
        await self._stream(exchange, begun, result)

    async def _stream(self, exchange: Exchange, begun: "Begun", result: Iterable[bytes]) -> None:
        if not begun.status:
            # An application that is a generator calls start_response when it is first asked for a piece.
            iterator = iter(result)
            first = await self._threads.run(next, iterator, b"")
            if not begun.status:
                raise BadResponse("the application did not call start_response")
            exchange.start(begun.status, begun.headers)
            if first:
                await exchange.send(first, more=True)
            await send_each(exchange, iterator, self._threads)
            if hasattr(result, "close"):
                await self._threads.run(result.close)
        else:
            exchange.start(begun.status, begun.headers)
            if begun.written:
                await exchange.send(b"".join(begun.written), more=True)
            await send_each(exchange, result, self._threads)
        await exchange.send(b"", more=False)


class Begun:
    """`start_response`, and what it was called with."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.written: list[bytes] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        if self.status and exc_info is None:
            raise BadResponse("start_response was called twice")
        self.status = int(status.split(" ", 1)[0])
        self.headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return self.written.append


def environ(exchange: Exchange, body: bytes, multithread: bool) -> dict[str, Any]:
    """The request as WSGI describes it."""
    from urllib.parse import unquote_to_bytes

    path, _, query = exchange.target.partition(b"?")
    host, port = exchange.local() or ("localhost", 80)
    peer = exchange.peer()
    env: dict[str, Any] = {
        "REQUEST_METHOD": exchange.method.decode(),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": str(host),
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{exchange.version}",
        "REMOTE_ADDR": str(peer[0]) if peer else "",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in exchange.headers:
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        if name == "CONTENT_TYPE":
            env[name] = value
        elif name not in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
            key = f"HTTP_{name}"
            env[key] = f"{env[key]}, {value}" if key in env else value
            if name == "X_FORWARDED_PROTO" and value in ("http", "https"):
                env["wsgi.url_scheme"] = value
    return env
