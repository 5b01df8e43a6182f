"""The lines of a response's head, ready as bytes: status lines, the date, checked headers."""

from time import gmtime, strftime

from kfn.function.errors import BadResponse

PHRASES = {
    200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative Information", 204: "No Content", 205: "Reset Content",
    206: "Partial Content", 207: "Multi-Status", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other",
    304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized",
    402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    408: "Request Timeout", 409: "Conflict", 410: "Gone", 411: "Length Required", 412: "Precondition Failed",
    413: "Content Too Large", 414: "URI Too Long", 415: "Unsupported Media Type", 416: "Range Not Satisfiable",
    417: "Expectation Failed", 418: "I'm a Teapot", 421: "Misdirected Request", 422: "Unprocessable Content", 425: "Too Early",
    426: "Upgrade Required", 428: "Precondition Required", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
    507: "Insufficient Storage",
}  # fmt: skip
REASON = {status: b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode()) for status, phrase in PHRASES.items()}
NO_BODY = frozenset((204, 304))

_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
_good_names: set[bytes] = set()  # names that have passed; bounded below

_date: tuple[int, bytes] = (0, b"")


def date_line(now: float) -> bytes:
    """The Date header, made once a second."""
    global _date
    second = int(now)
    if _date[0] != second:
        _date = (second, strftime("date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime(second)).encode())
    return _date[1]


def header_line(name: bytes, value: bytes) -> bytes:
    """One header as a line; refuses what would let a value begin another header."""
    if name not in _good_names:
        if not name or not _TOKEN.issuperset(name):
            raise BadResponse(f"{name!r} is not a header name")
        if len(_good_names) < 1000:
            _good_names.add(name)
    if b"\n" in value or b"\r" in value or b"\0" in value:
        raise BadResponse(f"the value of header {name.decode()} holds a line break or a zero byte")
    return name + b": " + value + b"\r\n"
