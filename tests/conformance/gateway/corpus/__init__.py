"""Hostile and unusual messages, as data: what is sent, what must come of it, and which section says so.

`REFUSED` are requests that the gateway must refuse, `TAKEN` are unusual ones that it must take, `ANSWERS` are what a hostile instance
says. Sections are of RFC 9112 (HTTP/1.1) unless another number is before them. A finding of the fuzzer becomes a row here.
"""

from dataclasses import dataclass

HOST = b"hello.default.localhost"
H = b"Host: " + HOST + b"\r\n"


@dataclass(frozen=True)
class Refused:
    """`body`: only the body is wrong, so the head may have been on its way to the instance; it must then never see the request's end."""

    name: str
    data: bytes
    status: int
    section: str
    body: bool = False
    also: int = 0  # what it may be instead when the gateway does not see the request's first line whole and alone


@dataclass(frozen=True)
class Taken:
    """`target` and `content` are what the instance must see; `answered` is the status, if the gateway answers itself."""

    name: str
    data: bytes
    section: str
    method: bytes = b"GET"
    target: bytes = b"/"
    content: bytes = b""
    closes: bool = False


@dataclass(frozen=True)
class Answer:
    """`expected`: the status that the client gets (an honest part of what the instance said, or 502), or CUT in the middle."""

    name: str
    data: bytes
    expected: int
    section: str
    method: bytes = b"GET"
    content: bytes | None = None  # of the body that the client gets
    reused: bool = False


CUT = 0


def get(*lines: bytes, first: bytes = b"GET / HTTP/1.1") -> bytes:
    """A request without a body; `lines` come behind Host."""
    return b"\r\n".join([first, H.rstrip(), *lines, b"", b""])


def post(*lines: bytes, body: bytes = b"abc", version: bytes = b"HTTP/1.1") -> bytes:
    return get(*lines, first=b"POST / " + version) + body


def chunked(body: bytes, *lines: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", *lines, body=body)
