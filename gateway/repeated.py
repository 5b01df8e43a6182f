"""A head that comes again byte for byte on the same connection: what it was read and rewritten to the last time holds again. Pure.

Instances send the same response head over and over, and so do many clients. A parser that stands at the start of a message is always in
the same state, so the same bytes mean the same again, and need not be read twice. What no parser has accepted on this connection, or what
is not exactly one message in one read, goes through the parser as ever; nothing here looks into a head.
"""

from typing import Any, NamedTuple

from gateway import heads
from gateway.heads import RequestHead
from kfn.observe.trace import Sampler

END = b"\r\n\r\n"
LONGEST = 1024  # bytes of a request's head; connections that idle by the thousand keep it
IDS = b"traceparent: %b\r\nX-Request-Id: %b\r\n\r\n"
WIRE, REQUEST_ID, TRACE, PARENT = (RequestHead._fields.index(name) for name in ("wire", "request_id", "trace", "parent"))
OF_ONE_REQUEST = frozenset((b"traceparent", b"tracestate", b"x-request-id"))


class KnownRequest(NamedTuple):
    """A request without ids of its own, so that all but its new ids stays as it was. Its body, if any, has a length."""

    raw: bytes
    total: int  # bytes of the whole request
    wire: bytes  # the head as an instance gets it, without ids
    head: list[Any]  # the fields of the RequestHead

    def again(self, entropy: int, sampler: Sampler | None = None) -> RequestHead:
        """`entropy` is 192 random bits for new ids."""
        ids = b"%048x" % entropy
        request_id = ids[:32]
        fields = self.head.copy()
        if sampler is None:
            trace = b"00-%b-%b-01" % (request_id, ids[32:])
        else:
            trace, fields[PARENT] = sampler.begin(None, ids)
        fields[WIRE] = self.wire + IDS % (trace, request_id)
        fields[REQUEST_ID] = request_id
        fields[TRACE] = trace
        return tuple.__new__(RequestHead, fields)  # as in `heads`


class KnownResponse(NamedTuple):
    """For a client of HTTP/1.1 that keeps its connection and has not asked with HEAD."""

    raw: bytes
    total: int  # bytes of the whole response
    wire: bytes  # the head as the client gets it
    status: int
    size: int  # of the body


def worth_keeping(misses: int) -> bool:
    """`misses`: heads in a row that were not known. Not the first of a connection, which may be the only one, and not all of
    many that never come again: keeping one costs some µs."""
    return misses in (2, 3) or misses % 64 == 0


def known_request(head: RequestHead, headers: heads.Headers, data: bytes) -> KnownRequest | None:
    """`data` was one whole request with this head. None where the next may mean something else although it looks the same."""
    raw = _only_head(data, head.length)
    ids = IDS % (head.trace, head.request_id)
    special = head.upgrade or head.expects or head.probe or not head.keep_alive or not head.modern
    if special or not raw or len(raw) > LONGEST or not head.wire.endswith(ids):
        return None
    if any(name.lower() in OF_ONE_REQUEST for name, _ in headers):
        return None
    return KnownRequest(raw, len(data), head.wire[: -len(ids)], list(head))


def known_response(status: int, reason: bytes, headers: heads.Headers, data: bytes) -> KnownResponse | None:
    """`data` was one whole response with this head. None where it takes more than to write it as the last time."""
    if status < 200 or status in heads.NO_BODY_STATUS:
        return None
    head = heads.response(status, reason, headers, method=b"GET", modern=True, keep_alive=True)
    raw = _only_head(data, head.length)
    if head.start or not raw:
        return None
    return KnownResponse(raw, len(data), b"".join([*head.wire, b"\r\n"]), status, head.length)


def _only_head(data: bytes, length: int) -> bytes:
    """The head of `data`, if that is one head and a body of this length; else nothing."""
    raw = data[: len(data) - length] if length >= 0 else b""
    return raw if raw.find(END) == len(raw) - len(END) else b""
