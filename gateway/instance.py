"""One instance of a revision as the gateway sees it: its address, its load, and its unused connections."""

from typing import TYPE_CHECKING, Protocol

from gateway.addresses import Address
from gateway.coldstart import StartTimes, parse

if TYPE_CHECKING:
    from gateway.http2.pool import Pool


class Connection(Protocol):
    """An open connection to an instance."""

    idle_since: float

    @property
    def open(self) -> bool: ...

    @property
    def silent(self) -> bool:
        """The kernel, too, has nothing from the instance: no byte, no end, no reset. Asked only while it is open."""
        ...

    def close(self) -> None: ...


class Instance:
    """`ready` is what the slice says, `reached` that a connection of our own succeeded since, `refused` that the last one did not."""

    __slots__ = (
        "active", "address", "idle", "name", "peak", "probing", "reached", "ready", "refused", "shared", "slots", "start", "terminating",
    )  # fmt: skip

    def __init__(self, address: Address) -> None:
        self.address = address
        self.name = address.pod or f"{address.host}:{address.port}"
        self.active = 0  # requests that have a place on it
        self.slots = self.peak = 0  # leased from the keeper, and the most of them in use of late (`slots/lease.py`)
        self.ready = address.ready
        self.terminating = address.terminating
        self.reached = False
        self.refused = False
        self.probing = False
        self.start: StartTimes | None = None
        self.idle: list[Connection] = []
        self.shared = _pool(self) if address.http2 else None  # connections that many requests use at once

    @property
    def usable(self) -> bool:
        return (self.ready or self.reached) and not self.terminating and not self.refused

    def started(self, header: bytes) -> None:
        """It tells the times of its start, once."""
        self.start = parse(header)

    def update(self, address: Address) -> None:
        if self.ready and not address.ready:
            self.reached = False  # it was fine and is not any more: what we saw earlier says nothing now
        if address.ready and not self.ready:
            self.refused = False
        self.address = address
        self.ready = address.ready
        self.terminating = address.terminating

    def take(self, now: float, idle_for: float) -> Connection | None:
        """The connection used last, if it is surely still open: older ones may be closed by the instance at this very moment.

        An end that has arrived but has not been read yet is looked for, too: a request written behind it would be lost, and could
        not be sent again, because nobody could tell whether the instance had read it.
        """
        while self.idle:
            connection = self.idle.pop()
            if connection.open and now - connection.idle_since < idle_for and connection.silent:
                return connection
            connection.close()
        return None if self.shared is None else self.shared.take()

    def put(self, connection: Connection, now: float) -> None:
        connection.idle_since = now
        if self.terminating:
            connection.close()
        else:
            self.idle.append(connection)

    def expire(self, now: float, idle_for: float) -> None:
        if self.shared is not None:
            self.shared.check(now, idle_for)
        old = [c for c in self.idle if now - c.idle_since >= idle_for or not c.open]
        if old:
            self.idle = [c for c in self.idle if c not in old]
            for connection in old:
                connection.close()

    def forget(self) -> None:
        """The instance is gone: nothing new goes there, unused connections are closed; requests under way may finish."""
        self.terminating = True
        idle, self.idle = self.idle, []
        for connection in idle:
            connection.close()
        if self.shared is not None:
            self.shared.forget()


def _pool(instance: Instance) -> "Pool":
    from gateway.http2.pool import Pool  # takes 13 ms, which only those pay who use it

    return Pool(instance)
