"""Free ports for instances: every instance on this machine shares one address, so each gets a port of its own.

They are taken below the kernel's ephemeral range: one from inside it could be used by somebody's outgoing connection between
our looking and the instance's listening.
"""

import itertools
import random
import socket

FIRST, LAST = 20_000, 32_767  # Linux gives outgoing connections 32768 to 60999, macOS 49152 to 65535


class Ports:
    """Hands out ports that are free now, and none twice while it is held."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._held: set[int] = set()
        count = LAST - FIRST + 1
        start = random.randrange(count)  # noqa: S311 - only so that two platforms do not walk in step
        self._walk = itertools.cycle(FIRST + (start + n) % count for n in range(count))

    def take(self) -> int:
        """A port nobody listens on. Where the whole range is taken, the kernel chooses."""
        for port in itertools.islice(self._walk, LAST - FIRST + 1):
            if port not in self._held and _bindable(self._address, port):
                break
        else:
            port = _bindable(self._address, 0)
        self._held.add(port)
        return port

    def give_back(self, port: int) -> None:
        self._held.discard(port)


def is_free(address: str, port: int) -> bool:
    """Whether nobody listens there now."""
    return _bindable(address, port) == port


def _bindable(address: str, port: int) -> int:
    """The port, if it can be bound (one that the kernel chose, for 0); else 0."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, port))
        except (OSError, OverflowError):
            return 0
        return int(sock.getsockname()[1])
