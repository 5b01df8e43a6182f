"""Where connections come in: one listening socket for everybody, or one for those outside and one for those inside, and one for TLS.

A door binds its own address, or takes a socket that is bound already: of a supervisor, which keeps it open when this process ends.
What serves the connections is the caller's.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping

from gateway.settings import Settings
from kfn.observe import web

log = logging.getLogger(__name__)

PUBLIC = "public"
LOCAL = "local"  # names in the cluster are known here, too
TLS = "tls"

Protocol = Callable[[], asyncio.Protocol]  # makes what serves one connection


def wanted(settings: Settings) -> dict[str, tuple[str, int]]:
    """The doors that these settings ask for: host and port by name."""
    found = {PUBLIC: (settings.host, settings.port)}
    if settings.local_port is not None:
        found[LOCAL] = (settings.local_host, settings.local_port)
    if settings.tls_port is not None:
        found[TLS] = (settings.host, settings.tls_port)
    return found


class Doors:
    """Those of one gateway. `sockets` are bound already, by name."""

    def __init__(self, settings: Settings, sockets: Mapping[str, socket.socket]) -> None:
        self._settings = settings
        self._sockets = sockets
        self._protocols: dict[str, Protocol] = {}
        self._servers: list[asyncio.Server] = []

    async def open(self, name: str, protocol: Protocol) -> int:
        """Listen. Returns the port. Raises ListenError."""
        host, port = wanted(self._settings)[name]
        self._protocols[name] = protocol
        sock = self._sockets.get(name) or web.listen(host, port)
        port = int(sock.getsockname()[1])
        await self._listen(name, sock)
        log.info("listening on %s:%d (%s)", host, port, name)
        return port

    async def open_too(self, sockets: Mapping[str, socket.socket]) -> Callable[[], None]:
        """Accept from another process's doors as well, which it has left. Returns what stops that again."""
        servers = [await self._listen(name, sock) for name, sock in sockets.items()]

        def leave() -> None:
            for server in servers:
                server.close()

        return leave

    def close(self) -> None:
        """Accept nothing more."""
        for server in self._servers:
            server.close()

    async def _listen(self, name: str, sock: socket.socket) -> asyncio.Server:
        host, port = sock.getsockname()[:2]
        try:
            server = await asyncio.get_running_loop().create_server(self._protocols[name], sock=sock, backlog=self._settings.backlog)
        except OSError as error:  # another process had only bound the port too, and was quicker to listen
            raise web.ListenError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        self._servers.append(server)
        return server
