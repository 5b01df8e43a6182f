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
from kfn.clock import micro_timestamp
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

    def ended(self, exchange: "Exchange") -> None:
        if exchange.head.probe:
            return
        if self._sample < 1.0 and exchange.refusal is None and exchange.status < 500 and random() >= self._sample:  # noqa: S311
            return
        now, wall = exchange.now()
        self._write(entry(exchange, now, datetime.fromtimestamp(wall, UTC), query=self._query))

    def turned_away(self, peer: bytes, why: Refusal) -> None:
        self._write(Entry(micro_timestamp(), heads.text(peer), why.status, reason=type(why).__name__))

    def _write(self, entry: Entry) -> None:
        self.lines.write(self._encode(entry) + b"\n")


def entry(exchange: "Exchange", now: float, wall: datetime, *, query: bool) -> Entry:
    head, line, backend = exchange.head, exchange.line, exchange.backend
    text = heads.text
    target = heads.target(head)
    sent = now if exchange.sent is None else exchange.sent
    return Entry(
        time=micro_timestamp(wall),
        client=text(exchange.client.peer),
        status=exchange.status,
        duration_ms=0.0 if line is None else round((now - exchange.arrived) * 1000, 3),
        method=text(head.method),
        host=text(head.host),
        path=text(target if query else target.partition(b"?")[0]),
        protocol="HTTP/" + (exchange.client.version if head.modern else "1.0"),
        request_id=text(head.request_id),
        trace_id=text(head.trace[3:35]),
        waited_ms=0.0 if line is None else round((sent - exchange.arrived) * 1000, 3),
        received=exchange.received,
        bytes=exchange.reply.size,
        namespace="" if line is None else line.key.namespace,
        revision="" if line is None else line.key.name,
        route="" if backend is None else backend.route[1],
        tag="" if backend is None else backend.tag,
        pod="" if exchange.instance is None else exchange.instance.name,
        cold=exchange.cold is not None,
        reason="" if exchange.refusal is None else type(exchange.refusal).__name__,
        agent=text(heads.field(head, b"user-agent")),
    )
