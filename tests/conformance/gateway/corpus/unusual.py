# ruff: noqa: E501  - tables
"""Requests that look wrong and are right, or that a gateway must read leniently: each reaches the instance as what it means."""

from tests.conformance.gateway.corpus import HOST, Taken, chunked, get, post


def _chunks(name: str, body: bytes, content: bytes = b"abc", section: str = "7.1") -> Taken:
    return Taken(name, chunked(body), section, b"POST", content=content)


LINES = [
    Taken("an empty line before the request", b"\r\n" + get(), "2.2"),
    Taken("ten empty lines before the request", b"\r\n" * 10 + get(), "2.2"),
    Taken("a bare line feed before the request", b"\n" + get(), "2.2"),
    Taken("a bare carriage return before the request", b"\r" + get(), "2.2"),
    Taken("two spaces before the target", get(first=b"GET  / HTTP/1.1"), "3"),
    Taken("two spaces behind the target", get(first=b"GET /  HTTP/1.1"), "3"),
    Taken("a whole target", get(first=b"GET http://" + HOST + b"/a?b HTTP/1.1"), "3.2.2", target=b"/a?b"),
    Taken("a whole target without a path", get(first=b"GET http://" + HOST + b" HTTP/1.1"), "3.2.2"),
    Taken("a whole target with a query and no path", get(first=b"GET http://" + HOST + b"?a HTTP/1.1"), "3.2.2", target=b"/?a"),
    Taken("a whole target in capitals", get(first=b"GET HTTP://" + HOST.upper() + b"/ HTTP/1.1"), "3.2.2"),
    Taken("a whole target with a port", get(first=b"GET http://" + HOST + b":80/ HTTP/1.1"), "3.2.2"),
    Taken("a whole target beside another host", b"GET http://" + HOST + b"/ HTTP/1.1\r\nHost: other\r\n\r\n", "3.2.2"),
    Taken("a whole target with an @ behind its host", get(first=b"GET http://" + HOST + b"/@x HTTP/1.1"), "3.2.2", target=b"/@x"),
    Taken("OPTIONS of the server", get(first=b"OPTIONS * HTTP/1.1"), "3.2.4", b"OPTIONS", b"*"),
    Taken("two slashes", get(first=b"GET //other/a HTTP/1.1"), "3.2.1", target=b"//other/a"),
    Taken("dots in a path", get(first=b"GET /a/../b/./c HTTP/1.1"), "3.2.1", target=b"/a/../b/./c"),
    Taken("an encoded NUL and line's end in a path", get(first=b"GET /%00%0d%0a HTTP/1.1"), "3.2.1", target=b"/%00%0d%0a"),
    Taken("a question mark in a query", get(first=b"GET /?a?b=?c HTTP/1.1"), "3.2.1", target=b"/?a?b=?c"),
    Taken("a whole url in a query", get(first=b"GET /?u=http://a:80/b@c HTTP/1.1"), "3.2.1", target=b"/?u=http://a:80/b@c"),
    Taken("characters that RFC 3986 does not allow and that are sent", get(first=b'GET /{a}|b^"c" HTTP/1.1'), "3.2", target=b'/{a}|b^"c"'),
    Taken("a rare method", get(first=b"PROPFIND / HTTP/1.1"), "9110 9.1", b"PROPFIND"),
    Taken("a method with a dash", get(first=b"M-SEARCH / HTTP/1.1"), "9110 9.1", b"M-SEARCH"),
    Taken("HTTP/1.0", get(first=b"GET / HTTP/1.0"), "2.3", closes=True),
    Taken("HTTP/1.0 with keep-alive", get(b"Connection: Keep-Alive", first=b"GET / HTTP/1.0"), "9.3"),
]

FIELDS = [
    Taken("no space behind a colon", b"GET / HTTP/1.1\r\nHost:" + HOST + b"\r\n\r\n", "5.1"),
    Taken("spaces and tabs around a value", b"GET / HTTP/1.1\r\nHost: \t " + HOST + b"\t \r\n\r\n", "5.1"),
    Taken("an empty value", get(b"X-A:", b"X-B: ", b"X-C:\t"), "5.1"),
    Taken("bytes over 127 in a value", get(b"X-A: \xc3\xa9\xff"), "9110 5.5"),
    Taken("a tab in a value", get(b"X-A: a\tb"), "9110 5.5"),
    Taken("every character that a name may have", get(b"!#$%&'*+-.^_`|~09AZaz: b"), "9110 5.6.2"),
    Taken("names in any case", b"GET / HTTP/1.1\r\nhOsT: " + HOST + b"\r\n\r\n", "9110 5.1"),
    Taken("a host in capitals", b"GET / HTTP/1.1\r\nHost: " + HOST.upper() + b"\r\n\r\n", "3.2"),
    Taken("a host with a port", b"GET / HTTP/1.1\r\nHost: " + HOST + b":8080\r\n\r\n", "3.2"),
    Taken("a host with an empty port", b"GET / HTTP/1.1\r\nHost: " + HOST + b":\r\n\r\n", "3.2"),
    Taken("a host with a final dot", b"GET / HTTP/1.1\r\nHost: " + HOST + b".\r\n\r\n", "3.2"),
    Taken("a cookie in two fields", get(b"Cookie: a=b", b"Cookie: c=d"), "9110 5.3"),
    Taken("a field of 60 KB", get(b"X-A: " + b"a" * 60_000), "9110 5.4"),
    Taken("190 fields", get(*[b"X-%d: a" % n for n in range(190)]), "9110 5.4"),
    Taken("options that name Host", get(b"Connection: host"), "9110 7.6.1"),
    Taken("options that name content-length", post(b"Connection: content-length", b"Content-Length: 3"), "9110 7.6.1", b"POST", content=b"abc"),
    Taken("options that name transfer-encoding", chunked(b"3\r\nabc\r\n0\r\n\r\n", b"Connection: Transfer-Encoding"), "9110 7.6.1", b"POST", content=b"abc"),
    Taken("empty options", get(b"Connection: , ,keep-alive,,"), "9110 5.6.1"),
    Taken("options with spaces", get(b"Connection: \tkeep-alive \t, x "), "9110 5.6.1"),
    Taken("options in two fields", get(b"Connection: keep-alive", b"Connection: close"), "9110 5.3", closes=True),
    Taken("close among options", get(b"Connection: x, Close"), "9.6", closes=True),
    Taken("TE", get(b"TE: trailers", b"Connection: TE"), "9110 10.1.4"),
    Taken("an upgrade to h2c", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"), "9110 7.8"),
    Taken("an upgrade to h2c with a body", post(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__", b"Content-Length: 3"), "9110 7.8", b"POST", content=b"abc"),
    Taken("an upgrade with a body in a GET", get(b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 3") + b"abc", "9110 7.8", content=b"abc"),
    Taken("an upgrade that no option names", get(b"Upgrade: websocket"), "9110 7.8"),
    Taken("an option to upgrade to nothing", get(b"Connection: upgrade"), "9110 7.8"),
    Taken("an upgrade in HTTP/1.0", get(b"Connection: upgrade, keep-alive", b"Upgrade: websocket", first=b"GET / HTTP/1.0"), "9110 7.8"),
    Taken("100-continue in capitals", post(b"Expect: 100-Continue", b"Content-Length: 3"), "9110 10.1.1", b"POST", content=b"abc"),
    Taken("100-continue without a body", get(b"Expect: 100-continue"), "9110 10.1.1"),
    Taken("an expectation in HTTP/1.0", get(b"Expect: x", first=b"GET / HTTP/1.0"), "9110 10.1.1", closes=True),
]  # fmt: skip

BODIES = [
    Taken("a body in a GET", get(b"Content-Length: 3") + b"abc", "9110 9.3.1", content=b"abc"),
    Taken("a body in HTTP/1.0", post(b"Content-Length: 3", version=b"HTTP/1.0"), "6.3", b"POST", content=b"abc", closes=True),
    Taken("a content-length with zeros before", post(b"Content-Length: 0003"), "9110 8.6", b"POST", content=b"abc"),
    Taken("spaces around a content-length", post(b"Content-Length: \t 3 \t"), "5.1", b"POST", content=b"abc"),
    Taken("POST without a length", get(first=b"POST / HTTP/1.1"), "6.3 (7)", b"POST"),
    Taken("a content-length of 0 in a GET", get(b"Content-Length: 0"), "6.3", b"GET"),
    Taken("Chunked", post(b"Transfer-Encoding: Chunked", body=b"3\r\nabc\r\n0\r\n\r\n"), "7", b"POST", content=b"abc"),
    Taken("a tab before chunked", post(b"Transfer-Encoding:\tchunked", body=b"3\r\nabc\r\n0\r\n\r\n"), "5.1", b"POST", content=b"abc"),
    Taken("chunks in a GET", get(b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n", "6", content=b"abc"),
    _chunks("chunk sizes in both cases", b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    _chunks("chunk sizes with zeros before", b"0003\r\nabc\r\n000\r\n\r\n"),
    _chunks("no chunk", b"0\r\n\r\n", b""),
    _chunks("chunks of one byte", b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"),
    _chunks("an extension", b"3;a\r\nabc\r\n0;b=c\r\n\r\n", section="7.1.1"),
    _chunks("an extension in quotes", b'3;a="b;c\\"d"\r\nabc\r\n0\r\n\r\n', section="7.1.1"),
    _chunks("extensions", b'3;a;b=c;d="e f"\r\nabc\r\n0\r\n\r\n', section="7.1.1"),
    _chunks("a chunk that looks like a chunk's end", b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    _chunks("a chunk that looks like a request", b"%x\r\n%b\r\n0\r\n\r\n" % (len(get()), get()), get()),
    _chunks("trailers", b"3\r\nabc\r\n0\r\nX-A: b\r\nX-C:d\r\n\r\n", section="7.1.2"),
    _chunks("trailers that would route and vouch", b"3\r\nabc\r\n0\r\nHost: other\r\nAuthorization: x\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n", section="9110 6.5.1"),
    _chunks("trailers that would change the connection", b"3\r\nabc\r\n0\r\nConnection: upgrade\r\nUpgrade: x\r\nTE: y\r\n\r\n", section="9110 6.5.1"),
]  # fmt: skip

TAKEN = [*LINES, *FIELDS, *BODIES]
