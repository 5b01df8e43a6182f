"""What HTTP/1.1 demands of a request's head beyond its syntax, and what the head says of the body. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from kfn.function.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Head:
    """What is told from a request's head."""

    target: bytes  # in origin form
    length: int | None  # of the body; None if it is not said
    expects_continue: bool


def examine(method: bytes, target: bytes, version: str, headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """Refuse, with BadRequest, what must not be served. Header names are lower case."""
    if version not in ("1.0", "1.1"):
        raise BadRequest(f"HTTP version {version} is not spoken here; use 1.1.")
    if method == b"CONNECT":
        raise BadRequest("CONNECT is for proxies, and this is not one.")
    hosts, length, expects_continue = 0, None, False
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            length = int(value)
        elif name == b"expect" and value.lower() == b"100-continue":
            expects_continue = version == "1.1"
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise BadRequest("An HTTP/1.1 request needs exactly one Host header.")
    return Head(_origin(target), length, expects_continue)


def _origin(target: bytes) -> bytes:
    """The target without scheme and authority, which a server must take too; Host says who is meant."""
    if target.startswith(b"/") or target == b"*":
        return target
    rest = target.partition(b"://")[2]
    ends = [at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0]
    tail = rest[min(ends) :] if ends else b""
    return tail if tail.startswith(b"/") else b"/" + tail
