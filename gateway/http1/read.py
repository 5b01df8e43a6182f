"""Reading requests from a client's bytes: one strict parser, and the limits of a head. What is wrong is raised as a Refusal.

It knows nothing of connections and exchanges: what it has understood goes to a `Requests`.
"""

import logging
from random import getrandbits
from typing import Any, Protocol

import httptools

from gateway import heads, strict
from gateway.errors import BadRequest, HeadTooLarge, InternalError, NotImplementedHere, Refusal, UnsupportedVersion
from gateway.http1.repeated import ENOUGH, KnownRequest, known_request, worth_keeping
from gateway.settings import Settings

log = logging.getLogger(__name__)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # what a client that speaks HTTP/2 begins with
NOTHING = -9  # instead of a body's length: no head has been read yet


class Http2Preface(UnsupportedVersion):
    """HTTP/2 is turned off in this gateway's settings."""

    rest = b""  # what came behind the preface


class Requests(Protocol):
    """Who is told. A request is begun, has body, is done; then comes the next."""

    def request_begun(self, head: heads.RequestHead) -> None: ...

    def request_body(self, data: bytes) -> None: ...

    def request_done(self, trailers: heads.Headers) -> None: ...


class RequestReader:
    __slots__ = (
        "_declined",
        "_head_bytes",
        "_headers",
        "_known",
        "_length",
        "_misses",
        "_parser",
        "_quiet",
        "_sampler",
        "_settings",
        "_shared",
        "_size",
        "_target",
        "_to",
        "_trailers",
        "in_body",
        "in_head",
        "last",
        "peer",
        "scheme",
    )

    def __init__(self, to: Requests, settings: Settings) -> None:
        self._to = to
        self._settings = settings
        self._sampler = settings.tracing.sampler if settings.tracing else None
        self.peer = b"unknown"
        self.scheme = b"http"  # of the connection; what a proxy before it says of the client's own goes first
        self.last = False  # the request being read is the connection's last
        self._known: KnownRequest | None = None
        self._misses = 0  # requests since one came again
        self.restart()
        self._length = NOTHING

    def restart(self) -> None:
        """Begin anew at the start of a request."""
        self._parser: Any = httptools.HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._trailers: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._head_bytes = 0  # read since the head before this one, or this one's body, ended
        self._size = 0  # of the piece that is being read
        self._shared = 0  # of the piece in which the last request ended: how much of the next one may have come with it
        self._length = 0
        self._quiet = 0  # bytes inside a request since any of its body came: of trailers or chunk extensions
        self._declined = False  # this request asks for an upgrade that is not passed on
        self.in_head = False  # a head has begun and has not been read to its end
        self.in_body = False  # a head has been read, and its request not yet to the end

    def feed(self, data: bytes) -> bytes:
        """Read on. Gives back what follows a request for an upgrade: if that is passed on, it is not ours to read; else it is to be fed
        again. Raises Refusal."""
        between = not (self.in_body or self.in_head)
        if between:
            known = self._known
            if known is not None and (target := known.target(data)):
                self._again(known, target, data)
                return b""
        size = self._size = len(data)
        if self.in_body:
            self._quiet += size
        else:
            self._head_bytes += size
        stopped = -1
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            stopped = upgrade.args[0]
        except httptools.HttpParserError as error:
            raise (self._over() if self.in_body else self._preface(data)) or _reason(error, data) from None
        if stopped >= 0:
            if self._declined:
                self._go_on_without_upgrade()
            return data[stopped:]
        if too_large := self._over():
            raise too_large
        if between and not (self.in_body or self.in_head):
            self._misses += 1
            if worth_keeping(self._misses) and self._headers and self._settings.max_head >= ENOUGH:
                self._known = known_request(self._head(), self._headers, data)
        return b""

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.last:
            raise ValueError("bytes after the last request")
        self.in_head = True
        self._headers = []
        self._target = b""

    def on_url(self, target: bytes) -> None:
        self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        (self._trailers if self.in_body else self._headers).append((name, value))

    def on_headers_complete(self) -> None:
        settings = self._settings
        if self._head_bytes + self._shared > settings.max_head and self._head_size() > settings.max_head:
            raise HeadTooLarge(f"The request's head is over {settings.max_head} bytes.")
        head = self._head()
        self._head_bytes = 0
        self._length = head.length
        self._declined = not head.upgrade and self._parser.should_upgrade()
        self.in_head = False
        self.in_body = True
        self.last = not head.keep_alive
        self._to.request_begun(head)

    def on_body(self, data: bytes) -> None:
        self._quiet = 0
        self._to.request_body(data)

    def on_message_complete(self) -> None:
        if self._declined or not self.in_body:
            return
        trailers = self._trailers
        if trailers:
            self._check(trailers)
            self._trailers = []
        self.in_body = False
        self._quiet = 0
        self._shared = self._size
        self._to.request_done(trailers)

    # Inside.

    def _head(self) -> heads.RequestHead:
        """What the parser has just read."""
        parser, most = self._parser, self._settings.max_headers
        version = parser.get_http_version()
        return heads.request(
            parser.get_method(), self._target, version, self._headers, self.peer, getrandbits(192), most, self._sampler, self.scheme
        )

    def _again(self, known: KnownRequest, target: bytes, data: bytes) -> None:
        """A whole request as one before. The parser, which stands between two, need not see it."""
        self._misses = 0
        self.in_body = True
        to = self._to
        try:
            to.request_begun(known.again(target, getrandbits(192), self._sampler))
            if known.length:
                to.request_body(data[-known.length :])
            self.in_body = False
            to.request_done(())
        except Refusal:
            raise
        except Exception:
            log.exception("a request could not be handled")
            raise InternalError from None

    def _over(self) -> HeadTooLarge | None:
        """Where more of a head or of trailers has come than may: asked for too when the parser fails on what stands
        behind trailers."""
        limit = self._settings.max_head
        if not self.in_body and self._head_bytes > limit:
            return HeadTooLarge(f"The request's head is over {limit} bytes.")
        return HeadTooLarge(f"The request's trailers are over {limit} bytes.") if self._quiet > limit else None

    def _preface(self, data: bytes) -> Http2Preface | None:
        """The parser has failed: because a client speaks HTTP/2? Looked at here, so that it costs HTTP/1.1 nothing."""
        before = self._head_bytes - len(data)
        if self._length != NOTHING or not 0 <= before < len(PREFACE) or self._target != b"*":
            return None
        expected = PREFACE[before:]
        if not data.startswith(expected):
            return None
        why = Http2Preface()
        why.rest = data[len(expected) :]
        return why

    def _head_size(self) -> int:
        return len(self._target) + _bytes(self._headers)

    def _check(self, trailers: heads.Headers) -> None:
        settings = self._settings
        if len(trailers) > settings.max_headers or _bytes(trailers) > settings.max_head:
            raise HeadTooLarge(f"The request's trailers are over {settings.max_headers} fields or {settings.max_head} bytes.")

    def _go_on_without_upgrade(self) -> None:
        """The parser stops at a request for an upgrade, but this one goes on as plain HTTP: show a new parser how its body is framed."""
        length = self._length
        self.restart()
        self.in_body = True
        if length == 0:
            self.on_message_complete()
            return
        framing = b"Transfer-Encoding: chunked" if length < 0 else b"Content-Length: %d" % length
        self._parser = httptools.HttpRequestParser(_Body(self))
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)


class _Body:
    """What a parser that reads only a body calls."""

    def __init__(self, reader: RequestReader) -> None:
        self.on_body = reader.on_body
        self._reader = reader
        self._begun = False

    def on_message_begin(self) -> None:
        if self._begun:
            raise BadRequest("Requests may not follow at once on one that asked for an upgrade.")
        self._begun = True

    def on_message_complete(self) -> None:
        self._reader.on_message_complete()
        self._reader.restart()


def _bytes(headers: heads.Headers) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers)


def _reason(error: Exception, data: bytes) -> Refusal:
    """What went wrong in the parser, or in what it called."""
    why = error.__context__
    if isinstance(why, Refusal):
        return why
    if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(why, ValueError):
        log.error("a request could not be handled", exc_info=why)
        return InternalError()
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _unknown_method(data):
        return NotImplementedHere()
    if "Invalid HTTP version" in str(error):
        return UnsupportedVersion()
    return BadRequest(f"The request is not valid HTTP/1.1: {error}.")


def _unknown_method(data: bytes) -> bool:
    """Whether bytes in which no method was found begin with a word that is one, only not here: 501 (RFC 9110 9.1). Otherwise it is 400."""
    word = data.lstrip(b"\r\n").partition(b" ")[0]
    try:
        httptools.HttpRequestParser(object()).feed_data(word + b" ")
    except httptools.HttpParserInvalidMethodError:
        return strict.token(word)
    return False  # it is a request before the bad one that the bytes begin with
