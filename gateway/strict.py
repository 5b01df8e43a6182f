"""What two parsers could read differently and httptools lets pass: each is refused here, as RFC 9112 and 9110 say. Pure.

httptools refuses the rest itself: `tests/conformance/gateway/corpus` is the whole list, with the sections.
"""

import re

from gateway.errors import BadRequest, ExpectationFailed, NotImplementedHere

DIGITS = 18  # of a length: 10^18 bytes are enough, and fit into 64 bits with a sign wherever they are read next

# The unreserved characters of RFC 3986 in a name, no commas and no escapes: none of them means anything to a proxy, a cache or a log.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PRINTABLE = bytes((9, *range(32, 127), *range(128, 256)))
_SPACE = b" \t"  # what may be around a value; bytes.strip() would take a vertical tab too


def host(value: bytes) -> bool:
    """Whether it names one host, with or without a port."""
    return _HOST.fullmatch(value) is not None


def length(value: bytes) -> int:
    """A Content-Length. Python's int() would also take signs, underscores and spaces."""
    digits = value.strip(_SPACE)
    if not digits.isdigit() or len(digits) > DIGITS:
        raise BadRequest("The request's Content-Length is not one number.")
    return int(digits)


def answer_length(value: bytes) -> int:
    """An instance's Content-Length, whose digits the parser has checked. Raises ValueError."""
    if len(value) > DIGITS:
        raise ValueError("a Content-Length over all measure")
    return int(value)


def answer_chunked(value: bytes, before: bool) -> bool:
    """An instance's Transfer-Encoding; `before`: it has said chunked already. Raises ValueError: no other coding could be passed on."""
    if before or value.strip(_SPACE).lower() != b"chunked":
        raise ValueError("a Transfer-Encoding that is not chunked")
    return True


def reason(value: bytes) -> None:
    """An instance's reason phrase, of which the parser checks nothing but its end. Raises ValueError."""
    if value.translate(None, _PRINTABLE):
        raise ValueError("a reason with control characters")


def chunked(value: bytes) -> bool:
    """True if the only transfer coding is chunked. `value` is all Transfer-Encoding fields, joined by commas.

    Where chunked is not last nobody can tell where the body ends: 400. A coding before it that is not known here: 501 (RFC 9112 6.1).
    """
    codings = [coding.strip(_SPACE) for coding in value.lower().split(b",")]
    if codings == [b"chunked"]:
        return True
    if codings[-1] != b"chunked" or b"chunked" in codings[:-1] or not all(_TOKEN.fullmatch(coding) for coding in codings):
        raise BadRequest("The request's Transfer-Encoding does not end with one chunked.")
    raise NotImplementedHere("The only Transfer-Encoding understood here is chunked.")


def expects(value: bytes) -> bool:
    """100-continue, or nothing. Any other expectation is refused and not ignored: the gateway does not pass it on, so it cannot be met."""
    wanted = value.strip(_SPACE).lower()
    if wanted not in (b"100-continue", b""):
        raise ExpectationFailed
    return bool(wanted)


def target(method: bytes, target: bytes, host_field: bytes | None) -> tuple[bytes, bytes | None]:
    """The path and the host of a target that is not a path: `*` for OPTIONS, or a whole url, whose authority then counts instead of Host
    (RFC 9112 3.2.2). Both must be valid all the same."""
    if method == b"CONNECT":
        raise NotImplementedHere("CONNECT makes no sense to a gateway in front of functions.")
    if target == b"*" and method == b"OPTIONS":
        return target, host_field
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in (b"http", b"https"):
        raise BadRequest("The request's target is neither a path nor an http url.")
    cut = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    if not host(authority):
        raise BadRequest("The request's target has no valid host.")
    if host_field and not host(host_field):
        raise BadRequest("The request's Host is not one host's name.")
    return path if path.startswith(b"/") else b"/" + path, None if host_field is None else authority


def token(word: bytes) -> bool:
    return _TOKEN.fullmatch(word) is not None
