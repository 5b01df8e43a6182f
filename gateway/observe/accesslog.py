"""The access log: one line of JSON for each request, when it is over. docs/traces-and-logs.md explains the fields.

A query is left out unless it is asked for, since secrets travel there; header fields other than the client's name for itself never
are in it. What strangers chose is cut to a kilobyte and holds only printable ASCII, so that no line can be forged and no terminal fooled.
"""

from datetime import UTC, datetime
from random import random
from typing import TYPE_CHECKING

import msgspec

from gateway import heads
from gateway.errors import Refusal
from kfn.clock import utcnow
from kfn.observe.lines import Lines

if TYPE_CHECKING:
    from gateway.exchange import Exchange


class Entry(msgspec.Struct, omit_defaults=True):
    """Times are in milliseconds, sizes in bytes of bodies. What is empty, zero or false is left out, except for the first ones."""

    time: str  # of its end, in UTC
    client: str
    status: int  # 0: the client left before it was answered
    duration_ms: float = -1.0
    method: str = ""
    host: str = ""
    path: str = ""
    protocol: str = ""
    request_id: str = ""
    trace_id: str = ""
    waited_ms: float = 0.0  # until it was handed to an instance, or until its end
    received: int = 0
    bytes: int = 0
    namespace: str = ""
    revision: str = ""
    route: str = ""
    tag: str = ""
    pod: str = ""
    cold: bool = False
    reason: str = ""  # why the gateway answered itself
    agent: str = ""


class AccessLog:
    """A watcher that writes it. Of answers below 500 that came from an instance only the share `sample` is told."""

    def __init__(self, lines: Lines, *, sample: float = 1.0, query: bool = False) -> None:
        self.lines = lines
        self._sample = sample
        self._query = query
        self._encode = msgspec.json.Encoder().encode
        self._second = 0
        self._prefix = ""  # of the time within this second

    def ended(self, exchange: "Exchange") -> None:
        if exchange.head.probe:
            return
        if self._sample < 1.0 and exchange.refusal is None and exchange.status < 500 and random() >= self._sample:  # noqa: S311
            return
        now, wall = exchange.now()
        self._write(entry(exchange, now, self._time(wall), query=self._query))

    def turned_away(self, peer: bytes, why: Refusal) -> None:
        self._write(Entry(self._time(utcnow().timestamp()), heads.text(peer), why.status, reason=type(why).__name__))

    def _write(self, entry: Entry) -> None:
        self.lines.write(self._encode(entry) + b"\n")

    def _time(self, wall: float) -> str:
        """RFC 3339 with microseconds. Formatting a date takes longer than the rest of a line, so it is done once a second."""
        second = int(wall)
        if second != self._second:
            self._second, self._prefix = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._prefix}.{int((wall - second) * 1e6):06}Z"


def entry(exchange: "Exchange", now: float, time: str, *, query: bool) -> Entry:
    head, line, backend, instance, refusal = exchange.head, exchange.line, exchange.backend, exchange.instance, exchange.refusal
    text = heads.text
    target = heads.target(head)
    found = Entry(
        time,
        text(exchange.client.peer),
        exchange.status,
        0.0,
        text(head.method),
        text(head.host),
        text(target if query else target.partition(b"?")[0]),
        "HTTP/" + (exchange.client.version if head.modern else "1.0"),
        text(head.request_id),
        text(head.trace[3:35]),
        received=exchange.received,
        bytes=exchange.reply.size,
        agent=text(heads.field(head, b"user-agent")),
    )
    if line is not None:
        sent = now if exchange.sent is None else exchange.sent
        found.duration_ms = round((now - exchange.arrived) * 1000, 3)
        found.waited_ms = round((sent - exchange.arrived) * 1000, 3)
        found.namespace, found.revision = line.key.namespace, line.key.name
    if backend is not None:
        found.route, found.tag = backend.route[1], backend.tag
    if instance is not None:
        found.pod = instance.name
    if exchange.cold is not None:
        found.cold = True
    if refusal is not None:
        found.reason = type(refusal).__name__
    return found
