"""A port that is open only now and then, and the same each time: found to be free at the start, listened on while this replica leads."""

import socket

from kfn.observe import web


class Door:
    """`take` gives a bound socket; whoever takes it closes it. Raises web.ListenError."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self._first: socket.socket | None = web.listen(host, port)
        self.port = int(self._first.getsockname()[1])

    def take(self) -> socket.socket:
        sock, self._first = self._first, None
        return sock if sock is not None else web.listen(self.host, self.port)

    def close(self) -> None:
        sock, self._first = self._first, None
        if sock is not None:
            sock.close()
