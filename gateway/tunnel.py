"""After 101 Switching Protocols: bytes both ways as they come, with back-pressure and half-close, until both sides have ended."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.upstream import UpstreamConnection


class Side(asyncio.Protocol):
    """One end of a tunnel. What arrives here is written to the other end's transport."""

    def __init__(self, transport: asyncio.Transport, exchange: "Exchange") -> None:
        self.transport = transport
        self.exchange = exchange
        self.ended = False
        self.other: Side

    def data_received(self, data: bytes) -> None:
        self.exchange.touched()
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
        self.exchange.tunnel_ended()

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()


def splice(exchange: "Exchange", upstream: "UpstreamConnection", early: bytes) -> None:
    """Join the client's connection and the instance's. `early` is what the instance sent behind its head."""
    client = exchange.client
    here, there = Side(client.transport, exchange), Side(upstream.transport, exchange)
    here.other, there.other = there, here
    exchange.flush()
    client.transport.set_protocol(here)
    upstream.transport.set_protocol(there)
    client.transport.write(early)
    upstream.transport.write(client.detach())
    exchange.tunnelled(here)
