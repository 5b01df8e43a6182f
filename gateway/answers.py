"""The gateway's own answers as bytes: problem+json (RFC 9457) for a client that takes JSON, one line of text otherwise. Pure."""

import json

from gateway.errors import Refusal


def refusal(why: Refusal, *, as_json: bool, keep_alive: bool, head_only: bool, request_id: bytes = b"") -> bytes:
    if as_json:
        problem = {"type": "about:blank", "title": why.title, "status": why.status, "detail": why.detail}
        body, kind = json.dumps(problem).encode(), b"application/problem+json"
    else:
        body, kind = f"{why.detail}\n".encode(), b"text/plain; charset=utf-8"
    extra = b"Retry-After: %d\r\n" % why.retry_after if why.retry_after else b""
    if request_id:
        extra += b"X-Request-Id: %b\r\n" % request_id
    return plain(why.status, why.title, body, kind, keep_alive=keep_alive, head_only=head_only, extra=extra)


def plain(
    status: int,
    title: str,
    body: bytes,
    kind: bytes = b"text/plain; charset=utf-8",
    *,
    keep_alive: bool,
    head_only: bool,
    extra: bytes = b"",
) -> bytes:
    head = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%bConnection: %b\r\n\r\n" % (
        status, title.encode(), kind, len(body), extra, b"keep-alive" if keep_alive else b"close",
    )  # fmt: skip
    return head if head_only else head + body
