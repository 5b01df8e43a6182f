"""Free ports for instances: every instance on this machine shares one address, so each gets a port of its own."""

import socket


class Ports:
    """Hands out ports that are free now, and none twice while it is held."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._held: set[int] = set()

    def take(self) -> int:
        while True:
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((self._address, 0))
                port = int(sock.getsockname()[1])
            if port not in self._held:
                self._held.add(port)
                return port

    def give_back(self, port: int) -> None:
        self._held.discard(port)
