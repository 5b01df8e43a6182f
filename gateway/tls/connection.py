"""One connection under TLS: the handshake, then a transport like any other for the protocol that the two sides have agreed on.

The loops' own TLS is not used: it keeps 256 KiB a connection for reading, runs a task or a timer for each handshake, tells nobody when a
handshake fails, and cannot answer plain HTTP. Here a handshake is counted, bounded and refused like every other connection, and an
idle connection holds what OpenSSL holds. Which certificate is shown is `certificates`' affair, what is spoken then `http1`'s or `http2`'s.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from gateway import answers
from gateway.answers import Answer
from gateway.sides import Connection

if TYPE_CHECKING:
    from gateway.chain import Chain
    from gateway.tls.certificates import Certificates

RECORD = 16 * 1024  # the most that one TLS record carries: more is never read at once
HANDSHAKE = 0x16  # the first byte of every TLS connection
PLAIN = b"This port speaks HTTPS; the request was plain HTTP. Use https:// in front of the address.\n"

Choose = Callable[[str], asyncio.Protocol]
"""The protocol for what ALPN has agreed on: `h2`, or `http/1.1`, which is also meant when a client asks for nothing."""


class TlsConnection(asyncio.Transport, asyncio.Protocol):
    """To the socket's transport a protocol, to the protocol above it a transport."""

    version = "tls"  # while it is a handshake
    busy = True

    __slots__ = (
        "_certificates",
        "_chain",
        "_choose",
        "_closing",
        "_ended",
        "_fresh",
        "_incoming",
        "_outgoing",
        "_raw",
        "_since",
        "_spoken",
        "_tls",
        "_up",
    )

    def __init__(self, chain: "Chain", certificates: "Certificates", choose: Choose) -> None:
        self._chain = chain
        self._certificates = certificates
        self._choose = choose
        self._raw: asyncio.Transport = cast(asyncio.Transport, None)
        self._tls: ssl.SSLObject = cast(ssl.SSLObject, None)
        self._up: asyncio.Protocol | None = None  # the protocol above, once the handshake is over
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._since = chain.clock()  # of the handshake's beginning
        self._fresh = True  # not a byte has come yet
        self._spoken = False  # refused in plain text: nothing that comes now means anything
        self._ended = False  # the peer has ended its side, and the protocol above knows
        self._closing = False  # nothing more is written

    # The socket's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast(asyncio.Transport, transport)
        chain, context = self._chain, self._certificates.context
        if chain.closed:
            self.abort()
        elif context is None:
            self._fail("certificate")
        else:
            chain.connections.add(self)
            if chain.census.enter(self._peer()) is not None:
                self._fail("full")  # a handshake costs more than anything that could be said after it
            else:
                self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def connection_lost(self, exc: Exception | None) -> None:
        up, self._up = self._up, None
        if up is not None:
            self._closing = True
            up.connection_lost(exc)
            return
        self._uncount()
        if not self._closing:
            self._certificates.handshake_failed("closed")
        self._closing = True

    def data_received(self, data: bytes) -> None:
        if self._up is not None:
            self._incoming.write(data)
            self._read(self._up)
        elif not self._closing:
            self._shake(data)

    def eof_received(self) -> bool:
        if self._up is None or self._closing:
            return self._spoken  # the answer may still be on its way
        self._peer_ended(self._up)
        return True

    def pause_writing(self) -> None:
        if self._up is not None:
            self._up.pause_writing()

    def resume_writing(self) -> None:
        if self._up is not None:
            self._up.resume_writing()

    # The chain's side, until the handshake is over.

    @property
    def transport(self) -> asyncio.Transport:
        return self

    def overdue(self, now: float) -> None:
        settings = self._chain.settings
        if now - self._since > (settings.linger if self._spoken else settings.handshake):
            self._fail("" if self._spoken else "timeout")

    def stop(self) -> None:
        """A handshake that has begun may end: the request behind it is on its way, and its client would not know whether to ask again."""
        asyncio.get_running_loop().call_later(self._chain.settings.stop_idle, self._stop_idle)

    def _stop_idle(self) -> None:
        if self._up is None:
            self._raw.abort()

    # The side of the protocol above.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or not data:
            return
        try:
            self._tls.write(data)  # whole: what it encrypts goes to memory
        except ssl.SSLError:
            self._broken()
            return
        self._raw.write(self._outgoing.read())

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Tell the peer that nothing follows, and go on reading (RFC 8446 6.1; what TLS 1.2 makes of it is a close)."""
        if not self._closing:
            self._closing = True
            self._say_goodbye()
            self._raw.write_eof()

    def close(self) -> None:
        if self._raw.is_closing():
            return
        if not self._closing:
            self._closing = True
            self._say_goodbye()
        self._raw.close()

    def abort(self) -> None:
        self._closing = True
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._raw.is_closing()

    def pause_reading(self) -> None:
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()

    def is_reading(self) -> bool:
        return self._raw.is_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._up = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._up or self

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._tls if name == "ssl_object" else self._raw.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    # Inside.

    def _shake(self, data: bytes) -> None:
        """Go on with the handshake."""
        if self._fresh:
            self._fresh = False
            if data[0] != HANDSHAKE:
                if data[:1].isalpha():
                    self._say_plainly()
                else:
                    self._fail("protocol")
                return
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ValueError) as error:
            self._flush()  # the alert that says why
            self._fail("certificate" if getattr(error, "reason", "") == "NO_SHARED_CIPHER" else "protocol", politely=True)
            return
        self._flush()
        up = self._up = self._choose(self._tls.selected_alpn_protocol() or "http/1.1")
        self._uncount()  # the protocol above is counted from here on
        up.connection_made(self)
        if self._chain.stopping:
            cast(Connection, up).stop()
        if self._incoming.pending:
            self._read(up)

    def _read(self, up: asyncio.Protocol) -> None:
        """Hand on all that has come whole, at once. One read empties a record, so that when no bytes are left nothing has to be asked."""
        read, incoming = self._tls.read, self._incoming
        parts: list[bytes] = []
        ended = False
        try:
            while True:
                data = read(RECORD)
                if not data:
                    ended = True
                    break
                parts.append(data)
                if not incoming.pending:
                    break
        except ssl.SSLWantReadError:
            pass  # a part of a record is left, or what came was no data
        except ssl.SSLError:
            self._broken()
            return
        if self._outgoing.pending:
            self._flush()
        if parts:
            up.data_received(parts[0] if len(parts) == 1 else b"".join(parts))
        if ended and self._up is not None:
            self._peer_ended(self._up)

    def _peer_ended(self, up: asyncio.Protocol) -> None:
        if self._ended:
            return
        self._ended = True
        if not up.eof_received():
            self.close()

    def _say_goodbye(self) -> None:
        if self._up is None:
            return
        try:
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # it waits for the peer's goodbye, which nobody here does
        self._flush()

    def _say_plainly(self) -> None:
        self._spoken = self._closing = True
        self._since = self._chain.clock()
        self._certificates.handshake_failed("plain")
        self._raw.write(answers.http1(Answer(400, "Bad Request", PLAIN), keep_alive=False, head_only=False))
        if self._raw.can_write_eof():
            self._raw.write_eof()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and not self._raw.is_closing():
            self._raw.write(data)

    def _peer(self) -> bytes:
        name = self._raw.get_extra_info("peername")
        return str(name[0]).encode() if isinstance(name, tuple) else b"unknown"

    def _uncount(self) -> None:
        if self in self._chain.connections:
            self._chain.connections.discard(self)
            self._chain.census.leave(self._peer())

    def _fail(self, why: str, *, politely: bool = False) -> None:
        self._closing = True
        self._uncount()
        if why:
            self._certificates.handshake_failed(why)
        if politely:
            self._raw.close()
        else:
            self._raw.abort()

    def _broken(self) -> None:
        """The peer's bytes are not TLS any more, or have been tampered with."""
        self._closing = True
        self._flush()
        self._raw.close()
