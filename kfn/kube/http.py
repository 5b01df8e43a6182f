"""The Transport over HTTP(S): what every part uses on a cluster, and the CLI everywhere. Credentials come from `kfn.kube.config`.

aiohttp carries it: a request costs a third of the processor time that it costs with httpx, an event of a watch half of it, and a dozen
events lie between a request to nothing and its answer.
"""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp.typedefs import StrOrURL
from yarl import URL

from kfn.kube import errors
from kfn.kube.config import Config
from kfn.kube.transport import Response

MAX_LINE = 16 << 20  # one watch event; an object is at most about 1.5 MiB in etcd, twice that as JSON
CONNECTIONS = 200
CONNECT = 10.0  # seconds
KEPT = 60.0  # seconds that an unused connection is kept: a new one costs a TLS handshake, and an API server ends them after 90
READ_GRACE = 30.0  # how long beyond its own timeout a silent watch is believed to be alive, seconds

# A connection notices that the other side is gone without a word (its machine was switched off): a watch is silent for minutes.
_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in (
        ("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000),  # seconds; milliseconds
    ) if hasattr(socket, name)),
]  # fmt: skip
_FAILURES = (aiohttp.ClientError, OSError)  # a timeout is an OSError


class HttpTransport:
    """One API server over HTTP/1.1 with kept-alive connections. `timeout` in seconds bounds every plain request; `headers` go with each."""

    def __init__(self, config: Config, *, timeout: float = 30.0, headers: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._headers = headers or {}  # for what is behind the API server's proxy
        self._timeout = timeout
        self._tls = _tls(config)
        self._session: aiohttp.ClientSession | None = None  # belongs to a loop: the one in which it is used first

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = "application/json"
    ) -> Response:
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {} if content is None else {"Content-Type": content_type}
        timeout = aiohttp.ClientTimeout(total=self._timeout, sock_connect=CONNECT)
        answer = await self._send(method, path, query or {}, timeout, headers, content)
        try:
            return Response(answer.status, _json(await self._whole(answer)), _seconds(answer.headers.get("Retry-After", "")))
        finally:
            answer.close()

    @asynccontextmanager
    async def watch(self, path: str, *, query: Mapping[str, str]) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        read = float(query.get("timeoutSeconds") or 300) + READ_GRACE
        async with self._open(path, query, read) as answer:
            yield self._events(answer)

    @asynccontextmanager
    async def text(self, path: str, *, query: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._open(path, query, None if query.get("follow") else self._timeout) as answer:
            yield self._bytes(answer)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _send(
        self, method: str, path: str, query: Mapping[str, str], timeout: aiohttp.ClientTimeout, headers: dict[str, str],
        content: bytes | None = None,
    ) -> aiohttp.ClientResponse:  # fmt: skip
        """The answer's head. Who gets it closes it; the connection of one that was read to its end is used again all the same."""
        if self._session is None:
            self._session = _session(self._config, self._tls)
        if token := await self._config.token():
            headers["Authorization"] = f"Bearer {token}"
        url = URL(f"{self._config.server}{path}").update_query(query)
        try:
            return await self._session.request(
                method, url, headers={**self._headers, **headers}, data=content, timeout=timeout, allow_redirects=False
            )
        except _FAILURES as error:
            raise errors.Unreachable(self._away(error)) from error

    @asynccontextmanager
    async def _open(self, path: str, query: Mapping[str, str], read: float | None) -> AsyncIterator[aiohttp.ClientResponse]:
        answer = await self._send("GET", path, query, aiohttp.ClientTimeout(sock_connect=CONNECT, sock_read=read), {})
        try:
            if answer.status >= 400:
                raise errors.from_status(answer.status, _json(await self._whole(answer)))
            yield answer
        finally:
            answer.close()

    async def _whole(self, answer: aiohttp.ClientResponse) -> bytes:
        try:
            return await answer.read()
        except _FAILURES as error:
            raise errors.Unreachable(self._away(error)) from error

    async def _events(self, answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
        buffer = b""
        async for chunk in self._bytes(answer):
            *lines, buffer = (buffer + chunk).split(b"\n")
            if len(buffer) > MAX_LINE:
                raise errors.Unreachable(f"a watch event from {self._config.server} is larger than {MAX_LINE >> 20} MiB")
            for line in lines:
                if line.strip():
                    yield json.loads(line)

    async def _bytes(self, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.content.iter_any():
                yield chunk
        except _FAILURES as error:
            raise errors.Unreachable(self._away(error)) from error

    def _away(self, error: Exception) -> str:
        return f"the API server at {self._config.server} does not answer ({type(error).__name__}: {error})"


def _session(config: Config, tls: ssl.SSLContext | bool) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEPT, ssl=tls, socket_factory=_socket)
    headers = {"Accept": "application/json", "User-Agent": "kfn"}
    return aiohttp.ClientSession(connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar(), proxy=_proxy(config))


def _socket(info: tuple[Any, ...]) -> socket.socket:
    made = socket.socket(*info[:3])
    made.setblocking(False)
    for level, option, value in _ALIVE:
        made.setsockopt(level, option, value)
    return made


def _proxy(config: Config) -> StrOrURL | None:
    """The environment's (`HTTPS_PROXY`, `NO_PROXY`) for an API server that is not on this machine."""
    from urllib.request import getproxies, proxy_bypass

    url = URL(config.server)
    if config.is_loopback or not url.host or proxy_bypass(url.host):
        return None
    return getproxies().get(url.scheme)


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else None


def _json(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return {"message": content[:500].decode("utf-8", "replace")}


def _tls(config: Config) -> ssl.SSLContext | bool:
    if not config.server.startswith("https:"):
        return True
    context = ssl.create_default_context(cadata=config.ca_pem or None)
    # From 3.13 on Python refuses certificates without a key identifier, which older clusters and hand-made CAs have; kubectl takes them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if config.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_cert:
        context.load_cert_chain(*config.client_cert)
    return context
