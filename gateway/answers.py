"""The gateway's own answers: problem+json (RFC 9457) for a client that takes JSON, one line of text otherwise. Pure."""

import json
from typing import NamedTuple

from gateway.accept import wants_json
from gateway.errors import Refusal

TEXT = b"text/plain; charset=utf-8"


class Answer(NamedTuple):
    """`fields` are what comes beside Content-Type and Content-Length."""

    status: int
    title: str
    body: bytes
    kind: bytes = TEXT
    fields: tuple[tuple[bytes, bytes], ...] = ()
    grpc: int = 2  # the status a gRPC client gets when `status` is an error


def refusal(why: Refusal, *, accept: bytes = b"", request_id: bytes = b"", timing: bytes = b"") -> Answer:
    if wants_json(accept):
        problem = {"type": "about:blank", "title": why.title, "status": why.status, "detail": why.detail}
        body, kind = json.dumps(problem).encode(), b"application/problem+json"
    else:
        body, kind = f"{why.detail}\n".encode(), TEXT
    fields = []
    if why.retry_after:
        fields.append((b"Retry-After", b"%d" % why.retry_after))
    if timing:
        fields.append((b"Server-Timing", timing))
    if request_id:
        fields.append((b"X-Request-Id", request_id))
    return Answer(why.status, why.title, body, kind, tuple(fields), why.grpc)


def http1(answer: Answer, *, keep_alive: bool, head_only: bool) -> bytes:
    """The bytes for a client of HTTP/1."""
    extra = b"".join(b"%b: %b\r\n" % field for field in answer.fields)
    head = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%bConnection: %b\r\n\r\n" % (
        answer.status, answer.title.encode(), answer.kind, len(answer.body), extra, b"keep-alive" if keep_alive else b"close",
    )  # fmt: skip
    return head if head_only else head + answer.body
