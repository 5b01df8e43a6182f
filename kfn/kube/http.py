"""The Transport over HTTP(S): what every part uses on a cluster, and the CLI everywhere. Credentials come from `kfn.kube.config`."""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from kfn.kube import errors
from kfn.kube.config import Config
from kfn.kube.transport import Response

MAX_LINE = 16 << 20  # one watch event; an object is at most about 1.5 MiB in etcd, twice that as JSON
KEPT = 60.0  # seconds that an unused connection is kept: a new one costs a TLS handshake, and an API server ends them after 90
READ_GRACE = 30.0  # how long beyond its own timeout a silent watch is believed to be alive, seconds

_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *((socket.IPPROTO_TCP, getattr(socket, name), value) for name, value in (
        ("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000),  # seconds; milliseconds
    ) if hasattr(socket, name)),
]  # fmt: skip


class HttpTransport:
    """One API server over HTTP/1.1 with kept-alive connections. `timeout` in seconds bounds every plain request."""

    def __init__(self, config: Config, *, timeout: float = 30.0) -> None:
        self._config = config
        self._timeout = timeout
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=32, keepalive_expiry=KEPT)
        self._http = httpx.AsyncClient(
            base_url=config.server,
            transport=_transport(config, limits),
            verify=_tls(config),
            auth=None,
            timeout=httpx.Timeout(timeout, connect=10.0),
            limits=limits,
            headers={"Accept": "application/json", "User-Agent": "kfn"},
            trust_env=not config.is_loopback,
        )

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = "application/json"
    ) -> Response:
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = await self._headers()
        if content is not None:
            headers["Content-Type"] = content_type
        try:
            answer = await self._http.request(method, path, params=dict(query or {}), content=content, headers=headers)
        except httpx.HTTPError as error:
            raise errors.Unreachable(self._away(error)) from error
        return Response(answer.status_code, _json(answer.content), _seconds(answer.headers.get("retry-after", "")))

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
        await self._http.aclose()

    async def _headers(self) -> dict[str, str]:
        token = await self._config.token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    @asynccontextmanager
    async def _open(self, path: str, query: Mapping[str, str], read: float | None) -> AsyncIterator[httpx.Response]:
        timeout = httpx.Timeout(self._timeout, connect=10.0, read=read)
        request = self._http.build_request("GET", path, params=dict(query), headers=await self._headers(), timeout=timeout)
        try:
            answer = await self._http.send(request, stream=True)
        except httpx.HTTPError as error:
            raise errors.Unreachable(self._away(error)) from error
        try:
            if answer.status_code >= 400:
                raise errors.from_status(answer.status_code, _json(await answer.aread()))
            yield answer
        finally:
            await answer.aclose()

    async def _events(self, answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
        buffer = b""
        async for chunk in self._bytes(answer):
            *lines, buffer = (buffer + chunk).split(b"\n")
            if len(buffer) > MAX_LINE:
                raise errors.Unreachable(f"a watch event from {self._config.server} is larger than {MAX_LINE >> 20} MiB")
            for line in lines:
                if line.strip():
                    yield json.loads(line)

    async def _bytes(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.aiter_bytes():
                yield chunk
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise errors.Unreachable(self._away(error)) from error

    def _away(self, error: Exception) -> str:
        return f"the API server at {self._config.server} does not answer ({type(error).__name__}: {error})"


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else None


def _json(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return {"message": content[:500].decode("utf-8", "replace")}


def _transport(config: Config, limits: httpx.Limits) -> httpx.AsyncHTTPTransport | None:
    """One whose connections notice that the other side is gone without a word (its machine was switched off): a watch is silent for
    minutes when nothing happens. None where a proxy of the environment may be between."""
    from urllib.request import getproxies

    if not config.is_loopback and getproxies():
        return None
    return httpx.AsyncHTTPTransport(verify=_tls(config), limits=limits, socket_options=_ALIVE, trust_env=False)


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
