"""A head that comes again on the same connection: what it was read and rewritten to the last time holds again. Pure.

Instances send the same response head over and over but for its length, and many clients the same request head but for its target. A
parser that stands at the start of a message is always in the same state, so the same bytes mean the same again, and need not be read
twice. A target may differ in characters that mean nothing to any parser, a length in its digits. What no parser has accepted on this
connection but for these, or is not exactly one message in one read, goes through the parser as ever.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from gateway import heads
from gateway.heads import RequestHead
from kfn.observe.trace import Sampler

END = b"\r\n\r\n"
LONGEST = 1024  # bytes of a request's head but its target, and of its target; connections that idle by the thousand keep them
ENOUGH = 2 * LONGEST  # a limit on heads that is lower has to be looked at
WHOLE = b"%b%b%btraceparent: %b\r\nX-Request-Id: %b\r\n\r\n"
IDS = b"traceparent: %b\r\nX-Request-Id: %b\r\n\r\n"
WIRE, REQUEST_ID, TRACE, PARENT = (RequestHead._fields.index(name) for name in ("wire", "request_id", "trace", "parent"))
_PLAIN = re.compile(rb"/[A-Za-z0-9/._~!$&'()*+,;=:@%%?-]{0,%d}" % LONGEST).fullmatch
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)(?=\r\n)", re.IGNORECASE)
OF_ONE_REQUEST = frozenset((b"traceparent", b"tracestate", b"x-request-id"))


@dataclass(slots=True)
class KnownRequest:
    """A request without ids of its own, so that all but its target and its new ids stays as it was. Its body, if any, has a length."""

    method: bytes  # with the space behind it
    path: bytes  # its target
    rest: bytes  # of its head, behind the target
    length: int  # of the body
    wire: bytes  # the head as an instance gets it, behind the target and without ids
    head: list[Any]  # the fields of the RequestHead
    whole: bytes = field(init=False)  # the head

    def __post_init__(self) -> None:
        self.whole = self.method + self.path + self.rest

    def target(self, data: bytes) -> bytes:
        """The target, if `data` is one whole such request, or nothing."""
        end = len(data) - self.length
        if end == len(self.whole) and data.startswith(self.whole):
            return self.path
        if not data.startswith(self.method) or not data.endswith(self.rest, 0, end):
            return b""
        target = data[len(self.method) : end - len(self.rest)]
        return target if _PLAIN(target) else b""

    def again(self, target: bytes, entropy: int, sampler: Sampler | None = None) -> RequestHead:
        """`entropy` is 192 random bits for new ids."""
        ids = b"%048x" % entropy
        request_id = ids[:32]
        fields = self.head.copy()
        if sampler is None:
            trace = b"00-%b-%b-01" % (request_id, ids[32:])
        else:
            trace, fields[PARENT] = sampler.begin(None, ids)
        fields[WIRE] = WHOLE % (self.method, target, self.wire, trace, request_id)
        fields[REQUEST_ID] = request_id
        fields[TRACE] = trace
        return tuple.__new__(RequestHead, fields)  # as in `heads`


@dataclass(slots=True)
class KnownResponse:
    """For a client of HTTP/1.1 that keeps its connection and has not asked with HEAD."""

    before: bytes  # the head up to the digits of its length
    digits: bytes
    after: bytes  # the head behind them
    wire: bytes  # the head as the client gets it, up to the digits of its length
    status: int
    whole: bytes = field(init=False)  # the head
    size: int = field(init=False)  # of the body
    same: bytes = field(init=False)  # the head as the client gets it

    def __post_init__(self) -> None:
        self.whole, self.size = self.before + self.digits + self.after, int(self.digits)
        self.same = self._head(self.size)

    def body(self, data: bytes) -> int:
        """Where the body begins, if `data` is one whole such response, or 0."""
        if len(data) == len(self.whole) + self.size and data.startswith(self.whole):
            return len(self.whole)
        begin = len(self.before)
        if not data.startswith(self.before):
            return 0
        end = data.find(b"\r", begin, begin + 20)
        if end < 0 or not data.startswith(self.after, end):
            return 0
        digits, at = data[begin:end], end + len(self.after)
        return at if digits.isdigit() and int(digits) == len(data) - at else 0

    def head(self, size: int) -> bytes:
        return self.same if size == self.size else self._head(size)

    def _head(self, size: int) -> bytes:
        return b"%b%d\r\n\r\n" % (self.wire, size)


def worth_keeping(misses: int) -> bool:
    """`misses`: heads in a row that were not known. Not the first of a connection, which may be the only one, and not all of
    many that never come again: keeping one costs some µs."""
    return misses in (2, 3) or misses % 64 == 0


def known_request(head: RequestHead, headers: heads.Headers, data: bytes) -> KnownRequest | None:
    """`data` was one whole request with this head. None where the next may mean something else although it looks the same."""
    method, ids = head.method + b" ", IDS % (head.trace, head.request_id)
    target = heads.target(head)
    begin = len(method) + len(target)
    rest = _only_head(data, head.length)[begin:]
    special = head.upgrade or head.expects or head.probe or not head.keep_alive or not head.modern
    if special or not 0 < len(rest) <= LONGEST or not data.startswith(target + rest, len(method)) or not head.wire.endswith(ids):
        return None
    if any(name.lower() in OF_ONE_REQUEST for name, _ in headers):
        return None
    return KnownRequest(method, target, rest, head.length, head.wire[begin : -len(ids)], list(head))


def known_response(status: int, reason: bytes, headers: heads.Headers, data: bytes) -> KnownResponse | None:
    """`data` was one whole response with this head. None where it takes more than to write it as the last time."""
    if status < 200 or status in heads.NO_BODY_STATUS:
        return None
    head = heads.response(status, reason, headers, method=b"GET", modern=True, keep_alive=True)
    raw, wire = _only_head(data, head.length), b"".join(head.wire)
    own, found = b"%d\r\n" % head.length, _LENGTH.search(raw)
    if head.start or found is None or not wire.endswith(b"Content-Length: " + own):
        return None
    return KnownResponse(raw[: found.start(1)], found[1], raw[found.end(1) :], wire[: -len(own)], status)


def _only_head(data: bytes, length: int) -> bytes:
    """The head of `data`, if that is one head and a body of this length; else nothing."""
    raw = data[: len(data) - length] if length >= 0 else b""
    return raw if raw.find(END) == len(raw) - len(END) else b""
