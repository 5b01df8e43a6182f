"""After 101 Switching Protocols: bytes both ways as they come, with back-pressure and half-close, until both sides have ended."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.upstream import UpstreamConnection


class Tunnel:
    """Two ends and an idle limit."""

    def __init__(self, exchange: "Exchange", client: asyncio.Transport, instance: asyncio.Transport, idle: float, now: float) -> None:
        self.exchange = exchange
        self.busy = True  # a byte has come since `check` looked last
        self._idle = idle
        self._quiet_since = now
        self._transports = (client, instance)
        here, there = Side(client, self), Side(instance, self)
        here.other, there.other = there, here
        client.set_protocol(here)
        instance.set_protocol(there)

    def check(self, now: float) -> float:
        """Close it if no byte has come for too long. When to look again."""
        if self.busy:
            self.busy = False
            self._quiet_since = now
        elif now - self._quiet_since >= self._idle:
            for transport in self._transports:
                transport.close()
        return now + self._idle / 4


class Side(asyncio.Protocol):
    """One end of a tunnel. What arrives here is written to the other end's transport."""

    def __init__(self, transport: asyncio.Transport, tunnel: Tunnel) -> None:
        self.transport = transport
        self.tunnel = tunnel
        self.ended = False
        self.other: Side

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
        self.other.transport.close()
        self.tunnel.exchange.tunnel_ended()

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()


def splice(exchange: "Exchange", upstream: "UpstreamConnection", early: bytes, *, idle: float, now: float) -> None:
    """Join the client's connection and the instance's. `early` is what the instance sent behind its head."""
    client = exchange.client
    exchange.flush()
    held = client.detach()
    exchange.tunnel = Tunnel(exchange, client.transport, upstream.transport, idle, now)
    exchange.due = now + idle / 4
    client.transport.write(early)
    upstream.transport.write(held)
