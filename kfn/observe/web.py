"""Serve an ASGI app with uvicorn inside a running event loop: for everything that is not an invocation (health, metrics,
admin, event ingress, the embedded API server). Signals are left to the process."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LAST_MOMENT = 0.3  # seconds for requests under way to end by themselves, when there is no time for a drain
_CANCELLED = 1.0  # seconds for cancelled requests to clear up


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM."""

    cert: Path
    key: Path


class ListenError(Exception):
    """The address cannot be listened on; the message names it and says why."""


HEAD_BYTES = 64 * 1024  # of a request's head: uvicorn itself would take any amount, from anybody who can connect
HEAD_SECONDS = 20.0  # until it is there


class _Protocol(HttpToolsProtocol):
    """uvicorn's, with a bound on the size of a request's head and on the time that it takes to come."""

    _head = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._patience is not None:
            self._head += len(data)
        super().data_received(data)
        if self._patience is not None and self._head > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The head of the request is larger than {HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        if self._patience is None:
            self._head = 0
            self._patience = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._too_late)

    def _head_came(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_late(self) -> None:
        self._patience = None
        self.transport.close()


class _Server(uvicorn.Server):
    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            with anyio.CancelScope(shield=True):
                await self._leave_nothing()

    async def _leave_nothing(self) -> None:
        """Uvicorn, when cancelled, leaves requests and connections to themselves; past its drain time it does not wait either."""
        for server in getattr(self, "servers", ()):
            server.close()
        for patience in (_LAST_MOMENT, _CANCELLED):
            if self.server_state.tasks:
                await asyncio.wait(self.server_state.tasks, timeout=patience)
            for task in self.server_state.tasks:
                task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Port 0 picks a free one. Raises ListenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    sock.set_inheritable(False)
    return sock


@asynccontextmanager
async def serving(
    app: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    sock: socket.socket | None = None,
    certificate: Certificate | None = None,
    tls: ssl.SSLContext | None = None,
    drain: int = 5,
    keep_alive: int = 5,
) -> AsyncIterator[int]:
    """Serve `app` while the block runs, on `sock` if it is given; gives the port. At the end, requests under way have `drain` seconds.
    `tls` takes the place of a certificate in files, for whom changes it while connections come. An idle connection is kept for `keep_alive`
    seconds."""
    sock = sock or listen(host, port)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=drain,
        timeout_keep_alive=keep_alive,
        ssl_certfile=str(certificate.cert) if certificate else None,
        ssl_keyfile=str(certificate.key) if certificate else None,
        ssl_context_factory=(lambda config, default: tls) if tls else None,
    )
    server = _Server(config)
    with sock:
        async with _started(server, sock):
            yield sock.getsockname()[1]


@asynccontextmanager
async def _started(server: uvicorn.Server, sock: socket.socket) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [sock])
        try:
            with anyio.fail_after(10):
                while not server.started:  # noqa: ASYNC110 - uvicorn offers a flag, no event
                    await anyio.sleep(0.005)
            yield
        finally:
            server.should_exit = True
