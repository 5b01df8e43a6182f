# ruff: noqa: E501  - tables
"""What a hostile or broken instance says. Behind each comes a second answer, `smuggled`, which no client may ever see."""

from tests.conformance.gateway.corpus import CUT, Answer

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
FRAME, LINE, FIELD, BARE = "6.3", "4", "5", "2.2"


def _sized(*lines: bytes, body: bytes = b"abc") -> bytes:
    return OK + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


HEADS = [
    Answer("nothing that is HTTP", b"nonsense\r\n\r\n", 502, LINE),
    Answer("a request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 502, LINE),
    Answer("another protocol", b"FTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502, LINE),
    Answer("HTTP/0.9", b"<html>hello</html>\r\n", 502, LINE),
    Answer("HTTP/1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", 502, LINE),
    Answer("http in lower case", b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502, LINE),
    Answer("the preface of HTTP/2", b"\0\0\0\x04\0\0\0\0\0", 502, LINE),
    Answer("the alert of TLS", b"\x15\x03\x01\0\x02\x02\x16", 502, LINE),
    Answer("no status", b"HTTP/1.1 \r\nContent-Length: 0\r\n\r\n", 502, LINE),
    Answer("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", 502, LINE),
    Answer("a status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", 502, LINE),
    Answer("a status under 100", b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", 502, LINE),
    Answer("a status with a sign", b"HTTP/1.1 +200 OK\r\nContent-Length: 0\r\n\r\n", 502, LINE),
    Answer("a NUL in the reason", b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n", 502, LINE),
    Answer("a control character in the reason", b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n", 502, LINE),
    Answer("a bare carriage return in the reason", b"HTTP/1.1 200 OK\rX-A: b\r\nContent-Length: 0\r\n\r\n", 502, BARE),
    Answer("a bare line feed behind the status", b"HTTP/1.1 200 OK\nContent-Length: 3\r\n\r\nabc", 502, BARE),
    Answer("bare line feeds everywhere", b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", 502, BARE),
    Answer("a bare line feed behind a field", _sized(b"X-A: b\nX-C: d", b"Content-Length: 3"), 502, BARE),
    Answer("a bare carriage return in a field", _sized(b"X-A: b\rX-C: d", b"Content-Length: 3"), 502, BARE),
    Answer("a NUL in a value", _sized(b"X-A: b\0c", b"Content-Length: 3"), 502, FIELD),
    Answer("a NUL in a name", _sized(b"X\0A: b", b"Content-Length: 3"), 502, FIELD),
    Answer("a control character in a value", _sized(b"X-A: b\x01c", b"Content-Length: 3"), 502, FIELD),
    Answer("an empty name", _sized(b": b", b"Content-Length: 3"), 502, FIELD),
    Answer("a line without a colon", _sized(b"nonsense", b"Content-Length: 3"), 502, FIELD),
    Answer("a space before a colon", _sized(b"X-A : b", b"Content-Length: 3"), 502, "5.1"),
    Answer("a folded field", _sized(b"X-A: b", b" c", b"Content-Length: 3"), 502, "5.2"),
    Answer("a space before the first field", OK + b" X-A: b\r\nContent-Length: 3\r\n\r\nabc", 502, "5.2"),
    Answer("a head of 600 KB", _sized(b"X-A: " + b"a" * 600_000, b"Content-Length: 3"), 502, FIELD),
    Answer("a head of small fields over the limit", _sized(*[b"X-A: " + b"a" * 1000] * 600, b"Content-Length: 3"), 502, FIELD),
    Answer("200 informational answers", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200 + _sized(b"Content-Length: 3"), 502, "9110 15.2"),
    Answer("an informational answer that is bad", b"HTTP/1.1 103 Early Hints\r\nX-A: b\0c\r\n\r\n" + _sized(b"Content-Length: 3"), 502, FIELD),
    Answer("an informational answer in chunks", b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + _sized(b"Content-Length: 3"), 502, "9110 15.2"),
    Answer("an informational answer with a coding that is not known", b"HTTP/1.1 104 X\r\nTransfer-Encoding: chunke\xa1\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 502, "9110 15.2"),
    Answer("an informational answer with a coding", b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + _sized(b"Content-Length: 3"), 502, "9112 6.1"),
    Answer("an informational answer with a body", b"HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabc", 502, "9110 15.2"),
    Answer("a switch that nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", 502, "9110 15.2.2"),
    Answer("a switch without fields", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 502, "9110 15.2.2"),
]  # fmt: skip

FRAMING = [
    Answer("content-length and chunked", _sized(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=END), 502, FRAME),
    Answer("chunked and content-length", _sized(b"Transfer-Encoding: chunked", b"Content-Length: 3", body=END), 502, FRAME),
    Answer("two different content-lengths", _sized(b"Content-Length: 3", b"Content-Length: 4"), 502, FRAME),
    Answer("the same content-length twice", _sized(b"Content-Length: 3", b"Content-Length: 3"), 502, FRAME),
    Answer("a list of content-lengths", _sized(b"Content-Length: 3, 3"), 502, FRAME),
    Answer("a content-length with a plus", _sized(b"Content-Length: +3"), 502, FRAME),
    Answer("a content-length with a minus", _sized(b"Content-Length: -3"), 502, FRAME),
    Answer("a hexadecimal content-length", _sized(b"Content-Length: 0x3"), 502, FRAME),
    Answer("an empty content-length", _sized(b"Content-Length:"), 502, FRAME),
    Answer("a content-length of 40 digits", _sized(b"Content-Length: " + b"9" * 40), 502, FRAME),
    Answer("a content-length that is negative in 64 bits", _sized(b"Content-Length: 18446744073709551615"), 502, FRAME),
    Answer("a content-length of 5000 zeros and a 3", _sized(b"Content-Length: " + b"0" * 5000 + b"3"), 502, FRAME),
    Answer("an encoding that is not known", _sized(b"Transfer-Encoding: gzip"), 502, FRAME),
    Answer("an encoding that is not known, then chunked", _sized(b"Transfer-Encoding: gzip, chunked", body=b"3\r\nabc\r\n" + END), 502, FRAME),
    Answer("chunked that is not last", _sized(b"Transfer-Encoding: chunked, gzip", body=END), 502, FRAME),
    Answer("chunked twice", _sized(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=END), 502, FRAME),
    Answer("a vertical tab before chunked", _sized(b"Transfer-Encoding: \x0bchunked", body=END), 502, FRAME),
    Answer("chunked to HEAD and a length", _sized(b"Transfer-Encoding: chunked", b"Content-Length: 3", body=b""), 502, FRAME, b"HEAD"),
]  # fmt: skip

CHUNKS = [
    Answer(name, CHUNKED + b"3\r\nabc\r\n" + body, CUT, section, content=b"abcabc")
    for name, body, section in [
        ("a chunk size that is none", b"zz\r\nabc\r\n" + END, "7.1"),
        ("a chunk size with a plus", b"+3\r\nabc\r\n" + END, "7.1"),
        ("a chunk size with 0x", b"0x3\r\nabc\r\n" + END, "7.1"),
        ("a chunk size of 2^64", b"10000000000000000\r\nabc\r\n" + END, "7.1"),
        ("an empty chunk size", b"\r\nabc\r\n" + END, "7.1"),
        ("a space behind a chunk size", b"3 \r\nabc\r\n" + END, "7.1"),
        ("a bare line feed behind a chunk size", b"3\nabc\r\n" + END, BARE),
        ("a chunk longer than it says", b"3\r\nabcdef\r\n" + END, "7.1"),
        ("nothing behind a chunk", b"0003\r\nabc" + END, "7.1"),
        ("a bare line feed in an extension", b"3;a\nb\r\nabc\r\n" + END, "7.1.1"),
        ("a NUL in an extension", b"3;a=\0\r\nabc\r\n" + END, "7.1.1"),
        ("an extension of 1.2 MB", b"3;a=" + b"b" * 1_200_000 + b"\r\nabc\r\n" + END, "7.1.1"),
        ("a trailer without a name", b"0\r\n: b\r\n\r\n", "7.1.2"),
        ("a NUL in a trailer", b"0\r\nX-A: b\0\r\n\r\n", "7.1.2"),
        ("a folded trailer", b"0\r\nX-A: b\r\n c\r\n\r\n", "7.1.2"),
        ("a trailer that gives a length", b"0\r\nContent-Length: 3\r\n\r\n", "7.1.2"),
        ("trailers of 600 KB", b"0\r\nX-A: " + b"a" * 600_000 + b"\r\n\r\n", "7.1.2"),
        ("a bare line feed at the body's end", b"0\r\n\n", BARE),
    ]
]

BODIES = [
    Answer("a body behind 204", b"HTTP/1.1 204 No Content\r\n\r\nabc", 204, FRAME),
    Answer("a length and a body with 204", b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", 204, FRAME),
    Answer("chunks with 204", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + END, 204, FRAME),
    Answer("a body behind 304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nabc", 304, FRAME),
    Answer("chunks with 304", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + END, 304, FRAME),
    Answer("a body to HEAD", _sized(b"Content-Length: 3"), 200, FRAME, b"HEAD"),
    Answer("chunks to HEAD", CHUNKED + b"3\r\nabc\r\n" + END, 200, FRAME, b"HEAD"),
    Answer("an end of chunks to HEAD", CHUNKED + END, 200, FRAME, b"HEAD"),
    Answer("a body behind the end", _sized(b"Content-Length: 3", body=b"abcdef"), 200, FRAME, content=b"abc"),
    Answer("two answers", _sized(b"Content-Length: 3") * 2, 200, "9.3.2", content=b"abc"),
    Answer("a body behind a length of 0", _sized(b"Content-Length: 0"), 200, FRAME, content=b""),
    Answer("empty lines behind the end", _sized(b"Content-Length: 3") + b"\r\n\r\n", 200, "2.2", content=b"abc"),
    Answer("close, and more", _sized(b"Content-Length: 3", b"Connection: close"), 200, "9.6", content=b"abc"),
    Answer("chunks, and more", CHUNKED + b"3\r\nabc\r\n" + END, 200, "7.1", content=b"abc"),
]

# What is wrong with these comes behind an answer that is right, so that the client gets the answer.
VERSIONS = [
    Answer("HTTP/2.0 in an answer that is HTTP/1.1's", b"HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "2.3", content=b"abc"),
    Answer("chunked in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + END, 200, "6.1", content=b"abc"),
]

ANSWERS = [*HEADS, *FRAMING, *CHUNKS]
STRAY = [*BODIES, *VERSIONS]
