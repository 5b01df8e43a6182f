"""HTTP/2's fields and the gateway's heads, in both directions. Pure.

A client's fields are checked here, not by the `h2` library: in one pass, and one bad stream does not end its connection. They become the
fields that HTTP/1.1 would have brought, so that `gateway.heads` alone says what a request means and what an instance gets.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote

from gateway import heads, strict
from gateway.answers import Answer
from gateway.errors import BadRequest, HeadTooLarge, NotImplementedHere
from gateway.heads import CHUNKED, NO_BODY_STATUS, Headers
from kfn.observe import trace

NAMES = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+(?:,[!#$%&'*+\-.^_`|~0-9a-z]+)*")
BAD_VALUES = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|^[ \t]|[ \t]$", re.MULTILINE)
METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
PATH = re.compile(rb"/[!-~]*|\*")
AUTHORITY = re.compile(rb"[A-Za-z0-9.\-_~!$&'()*+,;=:%\[\]]+")

PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path"))
FORBIDDEN = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
NOT_SENT = FORBIDDEN | {b"http2-settings"}
REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
MAX_DIGITS = 18  # of a Content-Length


class Malformed(Exception):
    """The stream breaks a rule of RFC 9113, section 8: it is reset, and its connection goes on."""


class Request(NamedTuple):
    head: heads.RequestHead
    grpc: bool  # refusals are told as gRPC statuses


class Response(NamedTuple):
    """A response's head as a client gets it. `length` and `ends_by_length` as in `gateway.heads.ResponseHead`."""

    fields: list[tuple[bytes, bytes]]
    length: int
    ends_by_length: bool
    start: bytes


def request(
    fields: Headers, *, ended: bool, peer: bytes, entropy: int, most: int,
    sampler: trace.Sampler | None = None, scheme: bytes = b"http",
) -> Request:  # fmt: skip
    """Read a client's head. `ended`: no body follows. Raises Malformed, or the refusal that the client is told."""
    if len(fields) > most + len(PSEUDO):
        raise HeadTooLarge(f"The request has {len(fields)} header fields; the limit is {most}.")
    pseudo: dict[bytes, bytes] = {}
    for name, value in fields:
        if name[:1] != b":":
            break
        if name in pseudo or name not in PSEUDO:
            raise Malformed("a pseudo-header comes twice or is not known")
        pseudo[name] = value
    regular = fields[len(pseudo) :]
    check(regular)
    if b":method" not in pseudo or (b":scheme" not in pseudo and pseudo[b":method"] != b"CONNECT"):
        raise Malformed("a pseudo-header is missing")
    method = pseudo[b":method"]
    if METHOD.fullmatch(method) is None:
        raise Malformed("the method is none")
    if method == b"CONNECT":
        raise NotImplementedHere("CONNECT makes no sense to a gateway in front of functions.")
    path = pseudo.get(b":path", b"")
    if PATH.fullmatch(path) is None or (path == b"*" and method != b"OPTIONS"):
        raise Malformed("the path is none")
    out, grpc = _as_http1(pseudo.get(b":authority"), regular, ended=ended)
    return Request(heads.request(method, path, "1.1", out, peer, entropy, most + 2, sampler, scheme), grpc)


def _as_http1(authority: bytes | None, regular: Headers, *, ended: bool) -> tuple[list[tuple[bytes, bytes]], bool]:
    """The fields that HTTP/1.1 would have brought, and whether this is gRPC."""
    out: list[tuple[bytes, bytes]] = []
    length: bytes | None = None
    cookies: list[bytes] = []
    grpc = False
    for name, value in regular:
        if name in FORBIDDEN:
            raise Malformed(f"{name.decode()} has no place in HTTP/2")
        if name == b"host":
            if authority is not None and value != authority:
                raise BadRequest("The request's Host is not its :authority.")
            authority = value
        elif name == b"cookie":
            cookies.append(value)  # may come in crumbs, which HTTP/1.1 does not know
        elif name == b"te":
            if value.lower() != b"trailers":
                raise Malformed("TE may only say trailers")
        else:
            if name == b"content-length":
                if length is not None or not value.isdigit() or len(value) > MAX_DIGITS:
                    raise Malformed("Content-Length is not one number")
                length = value
            elif name == b"content-type":
                grpc = value.startswith(b"application/grpc") and not value.startswith(b"application/grpc-web")
            out.append((name, value))
    if ended and length is not None and int(length):
        raise Malformed("the request ends before its Content-Length")
    if authority is None or AUTHORITY.fullmatch(authority) is None:
        raise BadRequest("The request has no Host." if not authority else "The request's :authority is not a valid host.")
    if cookies:
        out.append((b"cookie", b"; ".join(cookies)))
    if not ended and length is None:
        out.append((b"transfer-encoding", b"chunked"))
    out.append((b"host", authority))
    return out, grpc


def check(fields: Headers) -> None:
    """Names and values that HTTP/1.1 could not carry, or would carry as something else, are malformed. So are pseudo-headers here."""
    if not fields:
        return
    names, values = zip(*fields, strict=True)
    all_names = b",".join(names)
    if NAMES.fullmatch(all_names) is None or all_names.count(b",") != len(names) - 1:
        raise Malformed("a field's name is none")
    joined = b"\n".join(values)
    if joined.count(b"\n") != len(values) - 1 or BAD_VALUES.search(joined) is not None:
        raise Malformed("a field's value has characters that no value may have")


def response(status: int, headers: Headers, *, method: bytes) -> Response:
    """Rewrite a response's head for a client."""
    fields: list[tuple[bytes, bytes]] = [(b":status", b"%d" % status)]
    length: int | None = None
    chunked = False
    start = b""
    drop: set[bytes] = set()
    known = heads.RESPONSE_FIELDS
    for name, value in headers:
        low = name.lower()
        what = known.get(low)
        if what is None:
            fields.append((low, value))
        elif what == heads.LENGTH:
            length = strict.answer_length(value)
        elif what == heads.ENCODING:
            chunked = strict.answer_chunked(value, chunked)
        elif what == heads.CONNECTION:
            drop.update(token.strip() for token in value.lower().split(b","))
        elif what == heads.KFN_START:
            start = value
    if drop:
        fields = [field for field in fields if field[0] not in drop]
    sized = length is not None and not chunked
    if sized and status != 204:
        fields.append((b"content-length", b"%d" % length))  # type: ignore[str-format]  # sized
    if method == b"HEAD" or status in NO_BODY_STATUS:
        return Response(fields, 0, True, start)
    return Response(fields, (length or 0) if sized else CHUNKED, chunked or sized, start)


def interim(status: int, headers: Headers) -> list[tuple[bytes, bytes]]:
    """The fields of a 1xx answer."""
    kept = [(name.lower(), value) for name, value in headers if name.lower() not in heads.RESPONSE_FIELDS]
    return [(b":status", b"%d" % status), *kept]


def trailers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Trailers for either side: fields that would change framing or routing are left out."""
    return [(low, value) for low, value in ((name.lower(), value) for name, value in headers) if low not in heads.NOT_IN_TRAILERS]


def answer(answer: Answer, *, grpc: bool) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The gateway's own answer: fields and body. A gRPC client reads a status in trailers and nothing else."""
    if grpc and answer.status >= 400:
        return [(b":status", b"200"), (b"content-type", b"application/grpc"), *grpc_status(answer.grpc, answer.body), *_extra(answer)], b""
    fields = [(b":status", b"%d" % answer.status), (b"content-type", answer.kind), (b"content-length", b"%d" % len(answer.body))]
    return [*fields, *_extra(answer)], answer.body


def grpc_status(code: int, message: bytes) -> list[tuple[bytes, bytes]]:
    """The two trailers that end a gRPC call; the message is percent-encoded, as gRPC wants it."""
    return [(b"grpc-status", b"%d" % code), (b"grpc-message", quote(message.strip(), safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~").encode())]


def _extra(answer: Answer) -> Iterable[tuple[bytes, bytes]]:
    return ((name.lower(), value) for name, value in answer.fields)


def to_instance(head: heads.RequestHead) -> list[tuple[bytes, bytes]]:
    """A request's fields for an instance, out of the head that was serialised for HTTP/1.1."""
    first, *lines = head.wire[:-4].split(b"\r\n")
    method, target, _ = first.split(b" ", 2)
    fields = [(b":method", method), (b":scheme", b"http"), (b":authority", head.host), (b":path", target)]
    if not head.host:
        del fields[2]
    for line in lines[1:]:  # the first is Host
        name, _, value = line.partition(b": ")
        name = name.lower()
        if name not in NOT_SENT:
            fields.append((name, value))
    fields.append((b"te", b"trailers"))  # gRPC servers ask for it; the gateway passes trailers on
    return fields


def from_instance(fields: Headers) -> tuple[int, Headers]:
    """An instance's status and fields. Raises Malformed."""
    if not fields or fields[0][0] != b":status" or not fields[0][1].isdigit():
        raise Malformed("no :status")
    status = int(fields[0][1])
    if not 100 <= status < 600:
        raise Malformed(f"status {status}")
    rest = fields[1:]
    check(rest)
    lengths = [value for name, value in rest if name == b"content-length"]
    if lengths and (len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > MAX_DIGITS):
        raise Malformed("Content-Length is not one number")
    return status, rest
