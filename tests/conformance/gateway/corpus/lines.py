"""Request lines, ends of lines, and bytes that may not be where they are."""

from tests.conformance.gateway.corpus import HOST, H, Refused, get

LINE, LF, WORDS, TARGET, VERSION = "3", "2.2", "3", "3.2", "2.3"


def _target(name: str, target: bytes, status: int = 400, method: bytes = b"GET", section: str = TARGET) -> Refused:
    return Refused(name, get(first=method + b" " + target + b" HTTP/1.1"), status, section)


METHODS = [
    Refused("a method that is not known", get(first=b"NONSENSE / HTTP/1.1"), 501, "9110 9.1", also=400),
    Refused("a method in lower case", get(first=b"get / HTTP/1.1"), 501, "9110 9.1", also=400),
    Refused("a method in mixed case", get(first=b"Get / HTTP/1.1"), 501, "9110 9.1", also=400),
    Refused("a method of 70 KB", get(first=b"A" * 70_000 + b" / HTTP/1.1"), 501, "9110 9.1", also=400),
    Refused("no method", get(first=b" / HTTP/1.1"), 400, LINE, also=501),
    Refused("a NUL in a method", get(first=b"GE\x00T / HTTP/1.1"), 400, LINE, also=501),
    Refused("a NUL behind a method", get(first=b"GET\x00 / HTTP/1.1"), 400, LINE, also=501),
    Refused("a control character before a method", get(first=b"\x01GET / HTTP/1.1"), 400, LINE, also=501),
    Refused("a space before a method", get(first=b" GET / HTTP/1.1"), 400, LINE, also=501),
    Refused("a byte over 127 in a method", get(first=b"G\xc9T / HTTP/1.1"), 400, LINE, also=501),
    Refused("a colon in a method", get(first=b"GET: / HTTP/1.1"), 400, LINE, also=501),
    Refused("a tab behind a method", get(first=b"GET\t/ HTTP/1.1"), 400, WORDS, also=501),
    Refused("a vertical tab behind a method", get(first=b"GET\x0b/ HTTP/1.1"), 400, WORDS, also=501),
    Refused("CONNECT", get(first=b"CONNECT " + HOST + b":80 HTTP/1.1"), 501, "9110 9.3.6"),
    Refused("CONNECT with a path", get(first=b"CONNECT / HTTP/1.1"), 501, "9110 9.3.6"),
    Refused("a preface that is not HTTP/2's", b"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, LINE),
    Refused("the preface of HTTP/2 in lower case", b"pri * HTTP/2.0\r\n\r\nsm\r\n\r\n", 501, LINE, also=400),
    Refused("the hello of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, LINE, also=501),
    Refused("the header of the PROXY protocol", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + get(), 501, LINE, also=400),
    Refused("a request line of another server", b"HTTP/1.1 200 OK\r\n" + H + b"\r\n", 400, LINE, also=501),
]

TARGETS = [
    Refused("no target", get(first=b"GET HTTP/1.1"), 400, TARGET),
    _target("an empty target", b""),
    _target("a target without a slash", b"hello"),
    _target("a target that is a query", b"?a=b"),
    _target("a target that is a fragment", b"#a"),
    _target("a target with a fragment", b"/a#b"),
    _target("a target with a fragment behind a query", b"/a?b#c"),
    _target("a target with an empty fragment", b"/#"),
    _target("a target of another scheme", b"ftp://" + HOST + b"/"),
    _target("a target that is a script", b"javascript:alert(1)"),
    _target("a whole target with user information", b"http://me@" + HOST + b"/"),
    _target("a whole target with a password", b"http://me:secret@" + HOST + b"/"),
    _target("a whole target with a fragment", b"http://" + HOST + b"/#a"),
    _target("a whole target without a host", b"http:///a"),
    _target("a whole target with only a port", b"http://:80/"),
    _target("a whole target with a port that is none", b"http://" + HOST + b":8o/"),
    _target("a whole target with two ports", b"http://" + HOST + b":80:80/"),
    _target("a whole target with a comma", b"http://" + HOST + b",other/"),
    _target("a whole target with a backslash", b"http://" + HOST + b"\\@other/"),
    _target("a host and a port as a target", HOST + b":80"),
    _target("an asterisk for GET", b"*"),
    _target("a path with an asterisk for OPTIONS", b"**", method=b"OPTIONS"),
    _target("a space in the target", b"/a b"),
    _target("a tab in the target", b"/a\tb"),
    _target("a NUL in the target", b"/a\x00b"),
    _target("a line feed in the target", b"/a\nb"),
    _target("a carriage return in the target", b"/a\rb"),
    _target("a control character in the target", b"/a\x01b"),
    _target("a DEL in the target", b"/a\x7fb"),
    _target("a byte over 127 in the target", b"/\xe9"),
    _target("a byte over 127 in the query", b"/?\xe9"),
    _target("a target over the limit", b"/" + b"a" * 70_000, 431),
    _target("a query over the limit", b"/?" + b"a" * 70_000, 431),
]

VERSIONS = [
    Refused("HTTP/0.9", b"GET /\r\n\r\n", 505, VERSION),
    Refused("HTTP/0.9 with fields", b"GET /\r\n" + H + b"\r\n", 505, VERSION),
    Refused("HTTP/0.9, named", get(first=b"GET / HTTP/0.9"), 505, VERSION),
    Refused("HTTP/1.2", get(first=b"GET / HTTP/1.2"), 505, VERSION),
    Refused("HTTP/1.9", get(first=b"GET / HTTP/1.9"), 505, VERSION),
    Refused("HTTP/2.0", get(first=b"GET / HTTP/2.0"), 505, VERSION),
    Refused("HTTP/3.0", get(first=b"GET / HTTP/3.0"), 505, VERSION),
    Refused("HTTP/9.9", get(first=b"GET / HTTP/9.9"), 505, VERSION),
    Refused("HTTP/1", get(first=b"GET / HTTP/1"), 400, VERSION),
    Refused("HTTP/1.", get(first=b"GET / HTTP/1."), 400, VERSION, also=505),
    Refused("HTTP/1.10", get(first=b"GET / HTTP/1.10"), 400, VERSION),
    Refused("HTTP/1.01", get(first=b"GET / HTTP/1.01"), 400, VERSION),
    Refused("HTTP/01.1", get(first=b"GET / HTTP/01.1"), 400, VERSION),
    Refused("HTTP/1,1", get(first=b"GET / HTTP/1,1"), 400, VERSION),
    Refused("HTTP/1.x", get(first=b"GET / HTTP/1.x"), 400, VERSION, also=505),
    Refused("HTTP/+1.1", get(first=b"GET / HTTP/+1.1"), 400, VERSION, also=505),
    Refused("HTTP 1.1", get(first=b"GET / HTTP 1.1"), 400, VERSION),
    Refused("http/1.1 in lower case", get(first=b"GET / http/1.1"), 400, VERSION),
    Refused("another protocol", get(first=b"GET / FTP/1.0"), 400, VERSION),
    Refused("something behind the version", get(first=b"GET / HTTP/1.1 x"), 400, LINE),
    Refused("a space behind the version", get(first=b"GET / HTTP/1.1 "), 400, LINE),
    Refused("a tab behind the version", get(first=b"GET / HTTP/1.1\t"), 400, LINE),
    Refused("a NUL behind the version", get(first=b"GET / HTTP/1.1\x00"), 400, LINE),
    Refused("a tab before the version", get(first=b"GET /\tHTTP/1.1"), 400, LINE),
]

ENDS = [
    Refused("bare line feeds everywhere", b"GET / HTTP/1.1\nHost: " + HOST + b"\n\n", 400, LF),
    Refused("a bare line feed behind the request line", b"GET / HTTP/1.1\n" + H + b"\r\n", 400, LF),
    Refused("a bare carriage return behind the request line", b"GET / HTTP/1.1\r" + H + b"\r\n", 400, LF),
    Refused("two carriage returns behind the request line", b"GET / HTTP/1.1\r\r\n" + H + b"\r\n", 400, LF),
    Refused("a bare line feed behind a field", get(b"X-A: b\nX-C: d"), 400, LF),
    Refused("a bare carriage return behind a field", get(b"X-A: b\rX-C: d"), 400, LF),
    Refused("two carriage returns behind a field", get(b"X-A: b\r"), 400, LF),
    Refused("a bare line feed behind an empty field", get(b"X-A:\nX-C: d"), 400, LF),
    Refused("a bare carriage return behind an empty field", get(b"X-A:\rX-C: d"), 400, LF),
    Refused("a bare line feed as the head's end", get()[:-2] + b"\nX", 400, LF),
    Refused("a bare line feed behind the last field and its end", b"GET / HTTP/1.1\r\n" + H[:-2] + b"\n\n", 400, LF),
    Refused("a bare carriage return as the head's end", get()[:-1] + b"X", 400, LF),
    Refused("a carriage return, and a field", b"GET / HTTP/1.1\r\n" + H + b"\rX-A: b\r\n\r\n", 400, LF),
    Refused("a line feed, and a field", b"GET / HTTP/1.1\r\n" + H + b"\nX-A: b\r\n\r\n", 400, LF),
    Refused("a line of one space at the head's end", get(b" "), 400, "5.2"),
    Refused("empty lines that never end", b"\r\n" * 300_000, 431, LF),
]

REQUEST_LINES = [*METHODS, *TARGETS, *VERSIONS, *ENDS]
