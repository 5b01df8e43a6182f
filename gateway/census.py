"""How many connections there are, in all and from each client, so that neither all clients nor one can take every file there is. Pure.

A connection is counted from its being accepted to its end, as a tunnel too. Both steps are one look into a dict, which holds only
clients that are connected, and nothing at all while `each` is 0.
"""

from ipaddress import IPv6Address

from gateway.errors import ConnectionsFull, Refusal, TooManyConnections

FLOOD = 1.1  # of the limit: up to this a client is told why it is refused; beyond, connections are closed without a word


class Census:
    __slots__ = ("_each", "_most", "_retry_after", "clients", "total")

    def __init__(self, most: int, each: int, retry_after: int) -> None:
        self._most = most
        self._each = each
        self._retry_after = retry_after
        self.total = 0
        self.clients: dict[bytes, int] = {}

    def enter(self, peer: bytes) -> Refusal | None:
        """Count a connection, also one that is to be refused: it is there until it has been told."""
        self.total += 1
        if self._each:
            client = of(peer)
            now = self.clients[client] = self.clients.get(client, 0) + 1
            if now > self._each:
                return TooManyConnections(f"{self._each} connections from one client's address are the limit here.", self._retry_after)
        if self.total > self._most:
            return ConnectionsFull("The gateway has as many connections as it takes.", self._retry_after)
        return None

    def leave(self, peer: bytes) -> None:
        self.total -= 1
        if self._each:
            client = of(peer)
            left = self.clients.get(client, 0) - 1
            if left > 0:
                self.clients[client] = left
            else:
                self.clients.pop(client, None)

    @property
    def flooded(self) -> bool:
        """So many are over the limit that telling them why would use up the files."""
        return self.total > self._most * FLOOD + 16


def of(peer: bytes) -> bytes:
    """Who an address is: an IPv4 address itself, however it is written; of an IPv6 address its /64, which is what one customer gets."""
    if b":" not in peer:
        return peer
    address = IPv6Address(peer.partition(b"%")[0].decode())
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped).encode()
    return address.packed[:8]
