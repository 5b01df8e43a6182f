# ruff: noqa: E501  - tables
"""Header fields: their syntax, Host, what the connection's options try to remove, expectations, and how many there may be."""

from tests.conformance.gateway.corpus import HOST, H, Refused, get, post

NAME, VALUE, FOLD, HOSTS, MANY = "5.1", "9110 5.5", "5.2", "3.2", "9110 5.4"


def _host(name: str, value: bytes, first: bytes = b"GET / HTTP/1.1") -> Refused:
    return Refused(name, first + b"\r\nHost:" + value + b"\r\n\r\n", 400, HOSTS)


SYNTAX = [
    Refused("a space before a colon", get(b"X-A : b"), 400, NAME),
    Refused("a tab before a colon", get(b"X-A\t: b"), 400, NAME),
    Refused("a space before Host's colon", b"GET / HTTP/1.1\r\nHost : " + HOST + b"\r\n\r\n", 400, NAME),
    Refused("an empty name", get(b": b"), 400, NAME),
    Refused("only a colon", get(b":"), 400, NAME),
    Refused("a line without a colon", get(b"nonsense"), 400, NAME),
    Refused("a request line as a field", get(b"GET /smuggled HTTP/1.1"), 400, NAME),
    *[
        Refused(f"a name with {byte!r}", get(b"X" + byte + b"A: b"), 400, NAME)
        for byte in (b" ", b"\x00", b"\x01", b"\x0b", b"\x7f", b"\x80", b"\xff", b"(", b")", b",", b"/", b";", b"<", b"=", b">", b"?", b"@", b"[", b"\\", b"]", b"{", b"}", b'"')
    ],
    *[Refused(f"a value with {byte!r}", get(b"X-A: b" + byte + b"c"), 400, VALUE) for byte in (b"\x00", b"\x01", b"\x08", b"\x0b", b"\x0c", b"\x1b", b"\x7f")],
    Refused("a value that begins with a NUL", get(b"X-A: \x00"), 400, VALUE),
    Refused("a folded field", get(b"X-A: one", b" two"), 400, FOLD),
    Refused("a field folded by a tab", get(b"X-A: one", b"\ttwo"), 400, FOLD),
    Refused("a folded Host", b"GET / HTTP/1.1\r\nHost: hello.\r\n default.localhost\r\n\r\n", 400, FOLD),
    Refused("a space before the first field", b"GET / HTTP/1.1\r\n X: y\r\n" + H + b"\r\n", 400, "2.2"),
    Refused("a tab before the first field", b"GET / HTTP/1.1\r\n\tX: y\r\n" + H + b"\r\n", 400, "2.2"),
    Refused("a space before the only field", b"GET / HTTP/1.1\r\n " + H + b"\r\n", 400, "2.2"),
]  # fmt: skip

NAMES = [
    Refused("no host", b"GET / HTTP/1.1\r\n\r\n", 400, HOSTS),
    Refused("no host, and others", b"GET / HTTP/1.1\r\nX-A: b\r\n\r\n", 400, HOSTS),
    Refused("no host beside a whole target", b"GET http://" + HOST + b"/ HTTP/1.1\r\n\r\n", 400, HOSTS),
    Refused("the same host twice", b"GET / HTTP/1.1\r\n" + H + H + b"\r\n", 400, HOSTS),
    Refused("two different hosts", b"GET / HTTP/1.1\r\n" + H + b"Host: other\r\n\r\n", 400, HOSTS),
    Refused("two hosts, one empty", b"GET / HTTP/1.1\r\nHost:\r\n" + H + b"\r\n", 400, HOSTS),
    Refused("two hosts in HTTP/1.0", b"GET / HTTP/1.0\r\n" + H + H + b"\r\n", 400, HOSTS),
    Refused("two hosts beside a whole target", b"GET http://" + HOST + b"/ HTTP/1.1\r\n" + H + H + b"\r\n", 400, HOSTS),
    _host("a list of hosts", b" " + HOST + b", other"),
    _host("a list of equal hosts", b" " + HOST + b"," + HOST),
    _host("a host with user information", b" me@" + HOST),
    _host("a host with a space", b" " + HOST + b" other"),
    _host("a host with a tab", b" " + HOST + b"\tother"),
    _host("a host with a path", b" " + HOST + b"/a"),
    _host("a host with a scheme", b" http://" + HOST),
    _host("a host with a query", b" " + HOST + b"?a"),
    _host("a host with a fragment", b" " + HOST + b"#a"),
    _host("a host with a backslash", b" " + HOST + b"\\a"),
    _host("a host with a NUL", b" " + HOST + b"\x00"),
    _host("a host with a control character", b" \x01" + HOST),
    _host("a host with a byte over 127", " héllo.default.localhost".encode()),
    _host("a host in quotes", b' "' + HOST + b'"'),
    _host("a host with a port that is none", b" " + HOST + b":http"),
    _host("a host with a signed port", b" " + HOST + b":+80"),
    _host("a host with two ports", b" " + HOST + b":80:80"),
    _host("only a port", b" :80"),
    _host("an IPv6 address without brackets", b" ::1"),
    _host("an IPv6 address whose bracket does not end", b" [::1"),
    _host("something behind an IPv6 address", b" [::1]x"),
    _host("a bracket in a name", b" hello]"),
    _host("a list of hosts beside a whole target", b" " + HOST + b", other", b"GET http://" + HOST + b"/ HTTP/1.1"),
    _host("a host with user information in HTTP/1.0", b" me@" + HOST, b"GET / HTTP/1.0"),
]

OPTIONS = [
    Refused("an expectation that is not known", post(b"Content-Length: 3", b"Expect: 200-ok"), 417, "9110 10.1.1"),
    Refused("an expectation beside 100-continue", post(b"Content-Length: 3", b"Expect: 100-continue, x"), 417, "9110 10.1.1"),
    Refused("an expectation in a second field", post(b"Content-Length: 3", b"Expect: 100-continue", b"Expect: x"), 417, "9110 10.1.1"),
    Refused("an expectation without a body", get(b"Expect: x"), 417, "9110 10.1.1"),
]

SIZES = [
    Refused("a head over the limit", get(b"X-A: " + b"a" * 70_000), 431, MANY),
    Refused("a head of small fields over the limit", get(*[b"X-%d: " % n + b"a" * 1000 for n in range(70)]), 431, MANY),
    Refused("a head that never ends", b"GET / HTTP/1.1\r\n" + H + b"X-A: " + b"a" * 70_000, 431, MANY),
    Refused("a field's name over the limit", get(b"X" * 70_000 + b": a"), 431, MANY),
    Refused("a field's name that never ends", b"GET / HTTP/1.1\r\n" + H + b"X" * 400_000, 431, MANY),
    Refused("spaces before a value that never end", b"GET / HTTP/1.1\r\n" + H + b"X-A:" + b" " * 400_000, 431, MANY),
    Refused("too many fields", get(*[b"X-%d: a" % n for n in range(300)]), 431, MANY),
    Refused("too many equal fields", get(*[b"A:"] * 300), 431, MANY),
    Refused("too many cookies", get(*[b"Cookie: a=b"] * 300), 431, MANY),
]

FIELDS = [*SYNTAX, *NAMES, *OPTIONS, *SIZES]
