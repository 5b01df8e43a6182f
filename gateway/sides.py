"""What joins an exchange to the protocols on its two sides. HTTP/1.1 and HTTP/2 each bring a class for each of these.

Towards the client: a `Client` (the bytes of the request come from there, and it knows whether more of the answer is wanted) and a
`Reply` (the answer goes out there). For HTTP/1.1 that is a connection and an object a request; for HTTP/2 both are one stream.
Towards the instance: an `Upstream`, which is a connection (HTTP/1.1) or a stream on a shared one (HTTP/2).
"""

import asyncio
from typing import TYPE_CHECKING, Protocol

from gateway import heads
from gateway.answers import Answer
from gateway.heads import Headers

if TYPE_CHECKING:
    from gateway.exchange import Exchange


class Client(Protocol):
    """Where a request comes from. It calls the exchange's `start`, `request_body`, `request_done` and `client_gone`."""

    transport: asyncio.Transport
    local: bool  # it asks from inside: names in the cluster mean something
    writable: bool  # it takes more of the answer now; when that changes it calls pause_upstream and resume_upstream

    @property
    def peer(self) -> bytes:
        """The client's address."""
        ...

    @property
    def version(self) -> str:
        """Of HTTP: 1.1 or 2."""
        ...

    @property
    def current(self) -> "Exchange | None":
        """Whose turn it is to be answered."""
        ...

    def pause_reading(self) -> None:
        """Take no more of the request's body from the client, until `resume_reading`."""
        ...

    def resume_reading(self) -> None: ...

    def finished(self, exchange: "Exchange") -> None:
        """The exchange has been answered to the last byte, refused, or cut off."""
        ...

    def detach(self) -> bytes:
        """After 101: the transport is a tunnel's now, which calls `tunnel_closed`. Gives what the client has sent behind its head."""
        ...

    def tunnel_closed(self) -> None: ...


class Reply(Protocol):
    """The answer to one request: `begin`, any number of `add` and `flush`, `end`, `flush`; or `whole`; or, in the middle, `cut`."""

    length: int  # how the body is framed for the client, as in heads.ResponseHead
    size: int  # bytes of the body so far, without framing
    until_close: bool  # the instance ends the body by closing its connection

    def too_late(self) -> Headers | None:
        """A time limit has passed in the middle: say so in the body, or in the trailers that are given back for `end`. None: an end
        now would not look to the client like one, because a body whose length was told is not over before that."""
        ...

    def interim(self, status: int, reason: bytes, headers: Headers) -> None:
        """100 Continue, 103 Early Hints: sent at once."""
        ...

    def begin(self, status: int, reason: bytes, headers: Headers, *, keep_alive: bool) -> bytes:
        """Take an instance's head, rewritten for the client. Gives back the value of Kfn-Start, which the client does not get."""
        ...

    def field(self, name: bytes, value: bytes) -> None:
        """One more header field. Only directly after `begin`."""
        ...

    def add(self, data: bytes) -> None: ...

    def end(self, trailers: Headers = ()) -> None: ...

    def flush(self) -> bool:
        """Send what has been gathered. False: there was nothing, or nobody is there to take it."""
        ...

    def whole(self, answer: Answer, *, keep_alive: bool) -> None:
        """Send an answer of the gateway's own."""
        ...

    def take_back(self) -> bool:
        """Forget what was begun. False: the client has been sent some of it."""
        ...

    def cut(self, *, at_once: bool) -> None:
        """End in the middle so that the client can see that it was not the end. `at_once`: what is still to be sent does not matter."""
        ...


class Upstream(Protocol):
    """The way of one request to its instance. It calls the exchange's `interim`, `response_head`, `reply.add`, `flush`, `response_done`,
    `switch`, `upstream_lost` and `upstream_broken`; and its client's `pause_reading` when the instance takes no more."""

    open: bool  # may carry another request after this one

    @property
    def closing(self) -> bool:
        """Nothing that is written now arrives."""
        ...

    def send(self, exchange: "Exchange", ahead: list[bytes]) -> None:
        """Begin: the head, what has been read of the body, and its end if it has been read to the end."""
        ...

    def body(self, data: bytes) -> None: ...

    def end(self, trailers: Headers) -> None:
        """The request is complete."""
        ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """Give up, at once: what it was doing is of no use to anyone."""
        ...


class Connection(Protocol):
    """A client's connection, as the gateway looks after it."""

    @property
    def transport(self) -> asyncio.Transport: ...

    @property
    def version(self) -> str:
        """Of HTTP: 1.1 or 2."""
        ...

    @property
    def busy(self) -> bool:
        """A request is being answered on it."""
        ...

    def overdue(self, now: float) -> None:
        """Close what idles or dawdles."""
        ...

    def stop(self) -> None:
        """The gateway stops: go now if nothing is under way, else after the answers."""
        ...


def is_event(exchange: "Exchange") -> bool:
    """A delivery of the event bus, by its user agent. Only who is inside is believed: such a one has turns of its own in the line."""
    return exchange.client.local and heads.field(exchange.head, b"user-agent") == b"kfn-eventing"
