"""After 101 Switching Protocols: bytes both ways as they come, with back-pressure and half-close, until both sides have ended."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.http1.upstream import UpstreamConnection


class Tunnel:
    """Two ends and an idle limit."""

    def __init__(
        self, exchange: "Exchange", client: asyncio.Transport, instance: asyncio.Transport, idle: float, now: float,
        closed: Callable[[], None],
    ) -> None:  # fmt: skip
        self.exchange = exchange
        self.busy = True  # a byte has come since `check` looked last
        self.idle = idle
        self._quiet_since = now
        self._transports = (client, instance)
        here, there = Side(client, self, closed), Side(instance, self)
        here.other, there.other = there, here
        client.set_protocol(here)
        instance.set_protocol(there)

    def check(self, now: float) -> float:
        """Close it if no byte has come for too long. When to look again."""
        if self.busy:
            self.busy = False
            self._quiet_since = now
        elif now - self._quiet_since >= self.idle:
            for transport in self._transports:
                end(transport, self.idle)
        return now + self.idle / 4


class Side(asyncio.Protocol):
    """One end of a tunnel. What arrives here is written to the other end's transport."""

    def __init__(self, transport: asyncio.Transport, tunnel: Tunnel, closed: Callable[[], None] = lambda: None) -> None:
        self.transport = transport
        self.tunnel = tunnel
        self.ended = False
        self.other: Side
        self._closed = closed

    def data_received(self, data: bytes) -> None:
        self.tunnel.busy = True
        if not self.other.transport.is_closing():
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.other.ended or not self.other.transport.can_write_eof():
            self.other.transport.close()
            return False
        self.other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._closed()
        end(self.other.transport, self.tunnel.idle)
        self.tunnel.exchange.tunnel_ended()

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()


def end(transport: asyncio.Transport, patience: float) -> None:
    """Close it, and not for ever: one whose peer does not read what is still to be sent would never be closed."""
    transport.close()
    if transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(patience, transport.abort)


def splice(exchange: "Exchange", upstream: "UpstreamConnection", early: bytes, *, idle: float, now: float) -> None:
    """Join the client's connection and the instance's. `early` is what the instance sent behind its head."""
    client = exchange.client
    exchange.flush()
    held = client.detach()
    exchange.tunnel = Tunnel(exchange, client.transport, upstream.transport, idle, now, client.tunnel_closed)
    exchange.due = now + idle / 4
    client.transport.write(early)
    upstream.transport.write(held)
