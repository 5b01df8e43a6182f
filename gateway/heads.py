"""Rewriting heads: what a client sent into what an instance gets, and back. Pure.

The parser has checked the syntax; here is the meaning: framing, Host, hop-by-hop fields, and the headers a function may rely on.
Everything is serialised anew from parsed fields, so that no two parsers can disagree about where a message ends.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from gateway import strict
from gateway.errors import BadRequest, HeadTooLarge, UnsupportedVersion
from kfn.observe import trace

Headers = Sequence[tuple[bytes, bytes]]

CHUNKED = -1
UNTIL_CLOSE = -2
LONGEST_HOST = 260  # bytes: a DNS name and a port; longer ones are nobody's and are not kept
NO_BODY_STATUS = (204, 304)

# What each field that means something to the gateway is. A field that is not here is passed on as it is.
(
    HOST,
    LENGTH,
    ENCODING,
    CONNECTION,
    UPGRADE,
    HOP,
    EXPECT,
    XFF,
    XFP,
    XFH,
    FORWARDED,
    TRACE,
    REQUEST_ID,
    PROBE,
    ACCEPT,
    HASH,
    TRACESTATE,
    TIMING,
    TAG,
    PIN,
) = range(20)
REQUEST_FIELDS = {
    b"host": HOST, b"content-length": LENGTH, b"transfer-encoding": ENCODING, b"connection": CONNECTION, b"upgrade": UPGRADE,
    b"keep-alive": HOP, b"proxy-connection": HOP, b"te": HOP, b"http2-settings": HOP, b"k-proxy-request": HOP,
    b"proxy-authorization": HOP, b"k-network-hash": HASH,
    b"expect": EXPECT, b"x-forwarded-for": XFF, b"x-forwarded-proto": XFP, b"x-forwarded-host": XFH, b"forwarded": FORWARDED,
    b"traceparent": TRACE, b"tracestate": TRACESTATE, b"kfn-timing": TIMING, b"x-request-id": REQUEST_ID,
    b"k-network-probe": PROBE, b"accept": ACCEPT, b"knative-serving-tag": TAG, b"kfn-revision": PIN,
    # The same names with underscores: servers that make CGI or WSGI variables of them cannot tell them apart.
    b"content_length": HOP, b"transfer_encoding": HOP, b"x_forwarded_for": HOP, b"x_forwarded_proto": HOP, b"x_forwarded_host": HOP,
    b"x_request_id": HOP,
    # What Knative's parts tell each other: from a stranger it means nothing, and no function may believe it.
    b"knative-serving-default-route": HOP, b"knative-serving-revision": HOP, b"knative-serving-namespace": HOP,
}  # fmt: skip
KFN_START = 100
RESPONSE_FIELDS = {
    b"content-length": LENGTH, b"transfer-encoding": ENCODING, b"connection": CONNECTION, b"upgrade": UPGRADE,
    b"keep-alive": HOP, b"proxy-connection": HOP, b"te": HOP, b"proxy-authenticate": HOP, b"kfn-start": KFN_START,
}  # fmt: skip
NOT_IN_TRAILERS = frozenset(REQUEST_FIELDS) | {b"authorization", b"content-type", b"content-encoding", b"cache-control", b"trailer"}


_new = tuple.__new__  # what a NamedTuple's own constructor calls, behind a lambda that takes as long again


class RequestHead(NamedTuple):
    """A request as the gateway understands it. `wire` is its head as an instance gets it."""

    method: bytes
    host: bytes
    wire: bytes
    length: int  # of the body; 0 none, CHUNKED
    modern: bool  # HTTP/1.1: may be answered in chunks and with interim responses
    keep_alive: bool
    upgrade: bytes  # the protocol asked for, and passed on; or empty
    expects: bool  # waits for 100 Continue before it sends its body
    probe: bytes  # K-Network-Probe: asks the gateway, not the function
    probe_hash: bytes  # K-Network-Hash, which the prober wants back
    accept: bytes  # as it came; looked at only for an answer of the gateway's own
    request_id: bytes
    trace: bytes  # traceparent as the instance gets it
    parent: bytes | None  # the client's traceparent, of which our span is a child; b"": it has no parent; None: it is not recorded
    timing: bool  # Kfn-Timing: wants to know where the time went
    proto: bytes = b"http"  # or https: how the client came, as the instance is told
    tag: bytes = b""  # Knative-Serving-Tag, or `@` and Kfn-Revision; it is not in `wire`


class ResponseHead(NamedTuple):
    """A response's head as the client gets it, without the empty line, so that the caller can add to it."""

    wire: list[bytes]
    length: int  # of the body as it is sent to the client: 0 or more, CHUNKED, or UNTIL_CLOSE
    ends_by_length: bool  # the instance said where its body ends; otherwise its closing the connection does
    start: bytes  # Kfn-Start, which the client does not get


def request(
    method: bytes, target: bytes, version: str, headers: Headers, peer: bytes, entropy: int, most: int,
    sampler: trace.Sampler | None = None, scheme: bytes = b"http",
) -> RequestHead:  # fmt: skip
    """Read and rewrite a request's head. `peer` is the client's address, `scheme` its connection's, `entropy` 192 random bits for ids."""
    if len(headers) > most:
        raise HeadTooLarge(f"The request has {len(headers)} header fields; the limit is {most}.")
    modern = version == "1.1"
    if not modern and version != "1.0":
        raise UnsupportedVersion
    host = length = encoding = upgrade = parent = state = request_id = forwarded = xff = xfp = xfh = None
    tokens: list[bytes] = []
    chunked = expects = timing = False
    probe = probe_hash = tag = accept = b""
    out: list[bytes] = [b""]
    known = REQUEST_FIELDS
    for name, value in headers:
        what = known.get(name.lower())
        if what is None:
            out += (name, b": ", value, b"\r\n")
        elif what == HOST:
            if host is not None:
                raise BadRequest("The request has more than one Host.")
            host = value.strip(b" \t")
        elif what == ACCEPT:
            accept = b"%b, %b" % (accept, value) if accept else value
            out += (name, b": ", value, b"\r\n")
        elif what == LENGTH:
            if length is not None:
                raise BadRequest("The request has more than one Content-Length.")
            length = strict.length(value)
        elif what == CONNECTION:
            tokens += [token.strip() for token in value.lower().split(b",")]
        elif what == XFF:
            xff = value if xff is None else b"%b, %b" % (xff, value)
        elif what == XFP:
            xfp = value
        elif what == XFH:
            xfh = value
        elif what == FORWARDED:
            forwarded = value if forwarded is None else b"%b, %b" % (forwarded, value)
        elif what == TRACE:
            parent = value if parent is None else b""  # two are none
        elif what == TRACESTATE:
            state = value if state is None else b"%b,%b" % (state, value)
        elif what == REQUEST_ID:
            request_id = value
        elif what == ENCODING:
            encoding = value if encoding is None else b"%b,%b" % (encoding, value)
        elif what == EXPECT:
            expects = modern and (strict.expects(value) or expects)
        elif what == UPGRADE:
            upgrade = value
        elif what == PROBE:
            probe = value or b"probe"
        elif what == HASH:
            probe_hash = value
        elif what == TIMING:
            timing = True
        elif what == PIN:
            tag = b"@%b" % value
        elif what == TAG:
            tag = b"%b,%b" % (tag, value) if tag else value
    if encoding is not None:
        if length is not None or not modern:
            raise BadRequest("Transfer-Encoding together with Content-Length, or in HTTP/1.0, is not allowed.")
        chunked = strict.chunked(encoding)

    if not target.startswith(b"/") or method == b"CONNECT":
        target, host = strict.target(method, target, host)
    if 35 in target:  # a number sign, as a byte: four times as fast to look for as bytes
        raise BadRequest("The request's target has a fragment.")
    if not host:
        if modern and host is None:
            raise BadRequest("The request has no Host.")
        host = b""
    if tokens and any(token not in (b"close", b"keep-alive", b"upgrade", b"") for token in tokens):
        drop = {token for token in tokens if token not in (b"host", b"content-length", b"transfer-encoding")}
        out = [b""]
        for name, value in headers:
            low = name.lower()
            if low not in drop and (low not in known or low == b"accept"):
                out += (name, b": ", value, b"\r\n")

    has_body = chunked or bool(length)
    upgrades = bool(upgrade) and b"upgrade" in tokens and modern and not has_body and upgrade.strip(b" \t").lower() != b"h2c"  # type: ignore[union-attr]
    if upgrades:
        out += (b"Connection: Upgrade\r\nUpgrade: ", upgrade or b"", b"\r\n")
    if chunked:
        out.append(b"Transfer-Encoding: chunked\r\n")
    elif length is not None:
        out += (b"Content-Length: ", b"%d" % length, b"\r\n")
    if expects and has_body:
        out.append(b"Expect: 100-continue\r\n")
    if parent is not None and not trace.valid(parent):
        parent = None
    if parent is not None and state:
        out += (b"tracestate: ", state, b"\r\n")  # without a valid traceparent it says nothing
    recorded = None
    if parent is not None and request_id is not None and sampler is None:
        traceparent = parent
    else:
        ids = b"%048x" % entropy
        if sampler is not None:
            traceparent, recorded = sampler.begin(parent, ids)
        else:
            traceparent = parent or b"00-%b-%b-01" % (ids[:32], ids[32:])
        request_id = request_id or ids[:32]
    proto = xfp or scheme
    if forwarded is None and xff is not None:
        forwarded = b", ".join(b"for=" + _node(one.strip()) for one in xff.split(b","))
    if forwarded is None and xff is None and xfh is None and xfp is None and len(host) < 256:
        out.append(_came(peer, host, proto) if len(host) <= LONGEST_HOST else _came.__wrapped__(peer, host, proto))
    else:
        hop = b"for=%b;host=%b;proto=%b" % (_node(peer), _quoted(host), _quoted(proto))
        out += (
            b"X-Forwarded-For: ", peer if xff is None else b"%b, %b" % (xff, peer),
            b"\r\nX-Forwarded-Proto: ", proto,
            b"\r\nX-Forwarded-Host: ", xfh or host,
            b"\r\nForwarded: ", hop if forwarded is None else b"%b, %b" % (forwarded, hop), b"\r\n",
        )  # fmt: skip
    out += (b"traceparent: ", traceparent, b"\r\nX-Request-Id: ", request_id, b"\r\n\r\n")
    out[0] = b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, target, host)
    keep_alive = (b"close" not in tokens) if modern else (b"keep-alive" in tokens)
    return _new(RequestHead, (
        method, host, b"".join(out), CHUNKED if chunked else (length or 0), modern, keep_alive,
        (upgrade or b"") if upgrades else b"", expects and has_body, probe, probe_hash, accept, request_id,
        traceparent, recorded, timing, proto, tag,
    ))  # fmt: skip


def with_fields(head: RequestHead, fields: Headers) -> RequestHead:
    """The head with more for the instance to read."""
    return head._replace(wire=head.wire[:-2] + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n") if fields else head


def target(head: RequestHead) -> bytes:
    """The request's target: path and query."""
    begin = len(head.method) + 1
    return head.wire[begin : head.wire.find(b" ", begin)]


def field(head: RequestHead, name: bytes) -> bytes:
    """One field of a request, for those few who ask for it once in a while; `name` in lower case. Empty if there is none."""
    begin = head.wire.lower().find(b"\r\n%b: " % name)
    if begin < 0:
        return b""
    begin += len(name) + 4
    return head.wire[begin : head.wire.find(b"\r\n", begin)]


def text(value: bytes) -> str:
    """What strangers sent, for a log or a trace: nothing in it but printable ASCII, at most a kilobyte."""
    plain = value[:1024].decode("ascii", "backslashreplace")
    return plain if plain.isprintable() else plain.translate(_CONTROLS)


def response(status: int, reason: bytes, headers: Headers, *, method: bytes, modern: bool, keep_alive: bool) -> ResponseHead:
    """Rewrite a response's head. `modern` and `keep_alive` are the client's side."""
    length: int | None = None
    chunked = False
    upgrade = start = b""
    drop: set[bytes] = set()
    out: list[bytes] = [b"HTTP/1.1 %d %b\r\n" % (status, reason)]
    known = RESPONSE_FIELDS
    for name, value in headers:
        what = known.get(name.lower())
        if what is None:
            out += (name, b": ", value, b"\r\n")
        elif what == LENGTH:
            length = strict.answer_length(value)
        elif what == ENCODING:
            chunked = strict.answer_chunked(value, chunked)
        elif what == CONNECTION:
            drop.update(token.strip() for token in value.lower().split(b","))
        elif what == UPGRADE:
            upgrade = value
        elif what == KFN_START:
            start = value
    if drop - {b"close", b"keep-alive", b"upgrade"}:
        kept = [out[0]]
        for name, value in headers:
            low = name.lower()
            if low not in drop and low not in known:
                kept += (name, b": ", value, b"\r\n")
        out = kept
    if status == 101:
        out += (b"Connection: Upgrade\r\nUpgrade: ", upgrade, b"\r\n")
        return ResponseHead(out, 0, True, start)
    ends_by_length = chunked or length is not None
    if method == b"HEAD" or status in NO_BODY_STATUS:
        if length is not None and not chunked and status != 204:
            out += (b"Content-Length: ", b"%d" % length, b"\r\n")
        framed, ends_by_length = 0, True
    elif length is not None and not chunked:
        out += (b"Content-Length: ", b"%d" % length, b"\r\n")
        framed = length
    elif modern:
        out.append(b"Transfer-Encoding: chunked\r\n")
        framed = CHUNKED
    else:
        framed, keep_alive = UNTIL_CLOSE, False
    if not keep_alive:
        out.append(b"Connection: close\r\n")
    elif not modern:
        out.append(b"Connection: keep-alive\r\n")
    return _new(ResponseHead, (out, framed, ends_by_length, start))


def trailers(headers: Headers) -> bytes:
    """The trailer section of a chunked body: fields that would change framing or routing are left out."""
    return b"".join(b"%b: %b\r\n" % (name, value) for name, value in headers if name.lower() not in NOT_IN_TRAILERS)


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


@lru_cache(1024)  # of clients and hosts: less than 1 MB
def _came(peer: bytes, host: bytes, proto: bytes) -> bytes:
    """How a request came that no proxy has passed on before: its forwarding fields are always the same."""
    hop = (_node(peer), _quoted(host), _quoted(proto))
    fields = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\n" % (peer, proto, host)
    return fields + b"Forwarded: for=%b;host=%b;proto=%b\r\n" % hop


def _node(address: bytes) -> bytes:
    return b'"[%b]"' % address if b":" in address else address


_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")


def _quoted(value: bytes) -> bytes:
    """A value in a Forwarded element: a token, or a quoted string where it has other characters (a port's colon)."""
    if _SAFE.issuperset(value):
        return value
    return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
