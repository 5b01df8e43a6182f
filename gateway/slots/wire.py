"""What gateways and the keeper of slots say to each other: one frame a line, each a JSON array that begins with its name.

A revision is `NAMESPACE/NAME`, an instance `HOST:PORT`. Who sends what, and when, is in `ledger` and `lease`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

MAX_FRAME = 1024 * 1024  # a `See` of 20,000 instances; more is no gateway of ours
MAX_FIRST = 4096  # before the token is seen
VERSION = 1


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """An array: its tag, then its fields."""


# From a gateway.


class Hello(Frame, frozen=True, tag="hello"):
    """First. `gateway` is one process's own name, the same when it connects again."""

    token: str
    gateway: str
    version: int = VERSION


class Have(Frame, frozen=True, tag="have"):
    """After Hello: what this gateway holds already, whoever granted it."""

    revision: str
    instance: str
    slots: int


class Ready(Frame, frozen=True, tag="ready"):
    """That was all: what was known of this gateway before is void."""


class See(Frame, frozen=True, tag="see"):
    """A revision as this gateway sees it. `longest` is how many seconds a request of it may last. No instances and no wants: forget it."""

    revision: str
    limit: int
    longest: float
    instances: tuple[str, ...]


class Want(Frame, frozen=True, tag="want"):
    """`waiting` requests have no slot. `seen` slots were granted so far; `served` waiting requests got one that another gave back here."""

    revision: str
    waiting: int
    seen: int
    served: int


class Give(Frame, frozen=True, tag="give"):
    """These slots are not used and not ours any more."""

    revision: str
    instance: str
    slots: int


class Ping(Frame, frozen=True, tag="ping"):
    number: int


# From the keeper.


class Welcome(Frame, frozen=True, tag="welcome"):
    """The answer to Ready. `ttl` seconds after its last word a gateway counts as silent."""

    ttl: float


class Grant(Frame, frozen=True, tag="grant"):
    """Slots by instance, to be used or given back."""

    revision: str
    slots: dict[str, int]


class Recall(Frame, frozen=True, tag="recall"):
    """Somebody waits: give back `slots` of this revision, unused ones now, others when their request ends. 0: it is settled."""

    revision: str
    slots: int


class Void(Frame, frozen=True, tag="void"):
    """More is out than this instance takes: give back `slots` of it, unused ones now, others when their request ends."""

    revision: str
    instance: str
    slots: int


class Pong(Frame, frozen=True, tag="pong"):
    number: int


FromGateway = Hello | Have | Ready | See | Want | Give | Ping
FromKeeper = Welcome | Grant | Recall | Void | Pong

encode = msgspec.json.Encoder().encode
from_gateway = msgspec.json.Decoder(FromGateway).decode
from_keeper = msgspec.json.Decoder(FromKeeper).decode


class BadFrame(ValueError):
    """The other side sent what is no frame."""


class Frames:
    """Cuts a stream of bytes into frames' lines, none longer than `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises BadFrame. What a frame does to `most` holds for those behind it."""
        data = self._rest + data
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            if end - start > self.most:
                raise BadFrame(f"a frame of {end - start} bytes; {self.most} are allowed")
            yield data[start:end]
            start = end + 1
        self._rest = data[start:]
        if len(self._rest) > self.most:
            raise BadFrame(f"a frame of more than {self.most} bytes")


@dataclass(frozen=True, slots=True)
class Address:
    """`unix:PATH`, or `HOST:PORT` (an IPv6 host in brackets)."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> "Address":
        kind, _, path = text.partition(":")
        if kind == "unix":
            if not path:
                raise ValueError(f"slots address {text!r} has no path: write unix:/run/kfn/slots")
            return cls(path=path)
        host, _, port = text.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"slots address {text!r} is neither unix:PATH nor HOST:PORT")
        return cls(host=host.strip("[]"), port=int(port))

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def addresses(text: str) -> list[Address]:
    """The keepers' addresses in a setting, with commas between them. Raises ValueError."""
    return [Address.parse(part.strip()) for part in text.split(",") if part.strip()]
