"""The pool: finds or opens a connection for a URL, sends one request on it, and keeps it for the next.

A kept connection that its server closed in the meantime is replaced once, if no byte of an answer came.
"""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from kfn.http1.errors import ConnectFailed, Disconnected, HttpError, InvalidUrl, TimedOut
from kfn.http1.exchange import Connection, Response

Address = tuple[str, int]
Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Target:
    host: str
    port: int
    tls: bool
    authority: str
    path: str


class Client:
    """Sends requests. `idle` seconds a connection is kept unused; `max_body` bytes of an answer are read at most."""

    def __init__(
        self,
        *,
        idle: float = 60.0,
        keep: int = 64,
        max_body: int = 8 << 20,
        connect_timeout: float = 5.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._idle = idle
        self._keep = keep
        self._max_body = max_body
        self._connect_timeout = connect_timeout
        self._tls = tls
        self._pool: dict[tuple[str, int, str], list[Connection]] = {}

    async def request(
        self, method: str, url: str, *, headers: Headers = (), body: bytes = b"", timeout: float = 30.0, via: Address | None = None
    ) -> Response:
        """One answer, whatever its status. With `via` the connection goes to that address and Host stays the URL's.

        Raises `HttpError`. The time limit covers connecting, sending and reading the whole answer.
        """
        target = _split(url)
        request = _serialize(method, target, headers, body)
        try:
            async with asyncio.timeout(timeout):
                return await self._send(target, via or (target.host, target.port), request, head=method == "HEAD")
        except TimeoutError:
            raise TimedOut(f"no answer from {target.authority} within {timeout:g} s") from None

    async def aclose(self) -> None:
        """Close every kept connection."""
        for connections in self._pool.values():
            for connection in connections:
                connection.close()
        self._pool.clear()
        await asyncio.sleep(0)  # let the transports report their end

    async def _send(self, target: _Target, address: Address, request: bytes, *, head: bool) -> Response:
        key = (*address, target.host if target.tls else "")
        connection = self._take(key) or await self._connect(target, address)
        try:
            response = await connection.send(request, head=head)
        except Disconnected:
            if not connection.reused or connection.began:
                raise
            connection = await self._connect(target, address)
            response = await connection.send(request, head=head)
        self._give(key, connection)
        return response

    def _take(self, key: tuple[str, int, str]) -> Connection | None:
        now = asyncio.get_running_loop().time()
        kept = self._pool.get(key, [])
        while kept:
            connection = kept.pop()
            if connection.open and now - connection.idle_since < self._idle:
                return connection
            connection.close()
        return None

    def _give(self, key: tuple[str, int, str], connection: Connection) -> None:
        if not connection.open:
            return
        now = connection.idle_since = asyncio.get_running_loop().time()
        kept = self._pool.setdefault(key, [])
        kept.append(connection)
        while kept and (len(kept) > self._keep or now - kept[0].idle_since > self._idle):
            kept.pop(0).close()

    async def _connect(self, target: _Target, address: Address) -> Connection:
        loop = asyncio.get_running_loop()
        context = (self._tls or ssl.create_default_context()) if target.tls else None
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._max_body), *address, ssl=context, server_hostname=target.host if context else None
                )
        except TimeoutError:
            raise ConnectFailed(f"no connection to {address[0]}:{address[1]} within {self._connect_timeout:g} s") from None
        except (OSError, ssl.SSLError, UnicodeError) as error:
            raise ConnectFailed(f"no connection to {address[0]}:{address[1]}: {error}") from error
        return connection


def _split(url: str) -> _Target:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidUrl(f"{url!r}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() or ord(c) < 32 or ord(c) > 126 for c in url):
        raise InvalidUrl(f"{url!r} is not an absolute http or https URL")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    tls = parts.scheme == "https"
    return _Target(parts.hostname, port or (443 if tls else 80), tls, parts.netloc.rpartition("@")[2], path)


def _serialize(method: str, target: _Target, headers: Headers, body: bytes) -> bytes:
    lines = [f"{method} {target.path} HTTP/1.1", f"host: {target.authority}"]
    for name, value in headers:
        if "\r" in value or "\n" in value or "\0" in value:
            raise HttpError(f"header {name}: a value must not contain a line break")
        lines.append(f"{name}: {value}")
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body
