"""Chunked bodies: sizes, extensions, ends of lines and trailers. Most of these are wrong behind a head that is right."""

from tests.conformance.gateway.corpus import Refused, chunked

SIZE, LINE, EXT, TRAILER = "7.1", "2.2", "7.1.1", "7.1.2"
LAST = b"\r\n0\r\n\r\n"


def _bad(name: str, body: bytes, section: str, status: int = 400) -> Refused:
    return Refused(name, chunked(body), status, section, body=True)


SIZES = [
    _bad("no chunk size", b"\r\nabc" + LAST, SIZE),
    _bad("a chunk size that is none", b"zz\r\nabc" + LAST, SIZE),
    _bad("a chunk size with a plus", b"+3\r\nabc" + LAST, SIZE),
    _bad("a chunk size with a minus", b"-3\r\nabc" + LAST, SIZE),
    _bad("a chunk size with 0x", b"0x3\r\nabc" + LAST, SIZE),
    _bad("an underscore in a chunk size", b"0_3\r\nabc" + LAST, SIZE),
    _bad("a space before a chunk size", b" 3\r\nabc" + LAST, SIZE),
    _bad("a tab before a chunk size", b"\t3\r\nabc" + LAST, SIZE),
    _bad("a space behind a chunk size", b"3 \r\nabc" + LAST, SIZE),
    _bad("a tab behind a chunk size", b"3\t\r\nabc" + LAST, SIZE),
    _bad("a space in a chunk size", b"0 3\r\nabc" + LAST, SIZE),
    _bad("a NUL behind a chunk size", b"3\x00\r\nabc" + LAST, SIZE),
    _bad("a vertical tab behind a chunk size", b"3\x0b\r\nabc" + LAST, SIZE),
    _bad("a chunk size in quotes", b'"3"\r\nabc' + LAST, SIZE),
    _bad("other digits than ASCII in a chunk size", "٣\r\nabc".encode() + LAST, SIZE),
    _bad("a chunk size of 2^64", b"10000000000000000\r\nabc" + LAST, SIZE),
    _bad("a chunk size of 2^64 + 3", b"10000000000000003\r\nabc" + LAST, SIZE),
    _bad("a chunk size of 30 digits", b"f" * 30 + b"\r\nabc", SIZE),
    _bad("a list of chunk sizes", b"3,3\r\nabc" + LAST, SIZE),
    _bad("a last chunk of minus nothing", b"3\r\nabc\r\n-0\r\n\r\n", SIZE),
]

LINES = [
    _bad("a chunk size ended by a bare line feed", b"3\nabc" + LAST, LINE),
    _bad("a chunk size ended by a bare carriage return", b"3\rabc" + LAST, LINE),
    _bad("a chunk size ended by two carriage returns", b"3\r\r\nabc" + LAST, LINE),
    _bad("a chunk longer than it says", b"3\r\nabcdef" + LAST, SIZE),
    _bad("a chunk shorter than it says", b"5\r\nabc\r\n0\r\n\r\n", SIZE),
    _bad("nothing behind a chunk", b"3\r\nabc0\r\n\r\n", SIZE),
    _bad("a bare line feed behind a chunk", b"3\r\nabc\n0\r\n\r\n", LINE),
    _bad("a bare carriage return behind a chunk", b"3\r\nabc\r0\r\n\r\n", LINE),
    _bad("two bytes behind a chunk that are no line's end", b"3\r\nabcXX0\r\n\r\n", SIZE),
    _bad("an empty line before a chunk", b"\r\n3\r\nabc" + LAST, SIZE),
    _bad("a bare line feed behind the last chunk", b"3\r\nabc\r\n0\n\r\n", LINE),
    _bad("bare line feeds at the body's end", b"3\r\nabc\r\n0\n\n", LINE),
    _bad("a bare line feed as the body's end", b"3\r\nabc\r\n0\r\n\n", LINE),
    _bad("a bare carriage return as the body's end", b"3\r\nabc\r\n0\r\n\rX", LINE),
]

EXTENSIONS = [
    _bad("an empty extension", b"3;\r\nabc" + LAST, EXT),
    _bad("a bare line feed in an extension", b"3;a\nb\r\nabc" + LAST, EXT),
    _bad("an extension ended by a bare line feed", b"3;a=b\nabc" + LAST, EXT),
    _bad("a bare carriage return in an extension", b"3;a\rb\r\nabc" + LAST, EXT),
    _bad("a line feed in an extension's quotes", b'3;a="b\nc"\r\nabc' + LAST, EXT),
    _bad("a line's end in an extension's quotes", b'3;a="b\r\nc"\r\nabc' + LAST, EXT),
    _bad("an escaped line feed in an extension's quotes", b'3;a="b\\\nc"\r\nabc' + LAST, EXT),
    _bad("quotes that do not end", b'3;a="b\r\nabc' + LAST, EXT),
    _bad("something behind an extension's quotes", b'3;a="b"c\r\nabc' + LAST, EXT),
    _bad("a NUL in an extension", b"3;\x00\r\nabc" + LAST, EXT),
    _bad("a NUL in an extension's value", b"3;a=\x00\r\nabc" + LAST, EXT),
    _bad("a NUL in an extension's quotes", b'3;a="\x00"\r\nabc' + LAST, EXT),
    _bad("a control character in an extension", b"3;a=\x01\r\nabc" + LAST, EXT),
    _bad("a byte over 127 in an extension's name", b"3;\xe9\r\nabc" + LAST, EXT),
    _bad("an extension behind a comma", b"3,a\r\nabc" + LAST, EXT),
    _bad("an extension of 400 KB", b"3;a=" + b"b" * 400_000 + b"\r\nabc" + LAST, EXT, 431),
    _bad("extensions of 400 KB", b"3" + b";a=b" * 100_000 + b"\r\nabc" + LAST, EXT, 431),
    _bad("an extension that never ends", b"3;a=" + b"b" * 300_000, EXT, 431),
]

TRAILERS = [
    _bad("a trailer without a name", b"0\r\n: b\r\n\r\n", TRAILER),
    _bad("a trailer without a colon", b"0\r\nnonsense\r\n\r\n", TRAILER),
    _bad("a space before a trailer's colon", b"0\r\nX-A : b\r\n\r\n", TRAILER),
    _bad("a space before a trailer", b"0\r\n X-A: b\r\n\r\n", TRAILER),
    _bad("a folded trailer", b"0\r\nX-A: b\r\n c\r\n\r\n", TRAILER),
    _bad("a bare line feed behind a trailer", b"0\r\nX-A: b\nX-C: d\r\n\r\n", LINE),
    _bad("a bare carriage return in a trailer", b"0\r\nX-A: b\rc\r\n\r\n", LINE),
    _bad("a NUL in a trailer", b"0\r\nX-A: b\x00c\r\n\r\n", TRAILER),
    _bad("a NUL in a trailer's name", b"0\r\nX\x00A: b\r\n\r\n", TRAILER),
    _bad("a trailer that gives a length", b"0\r\nContent-Length: 3\r\n\r\n", "9110 6.5.1"),
    _bad("a trailer that gives an encoding", b"0\r\nTransfer-Encoding: chunked\r\n\r\n", "9110 6.5.1"),
    _bad("trailers of 70 KB", b"0\r\n" + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n", TRAILER, 431),
    _bad("trailers that never end", b"0\r\n" + b"X-A: b\r\n" * 40_000, TRAILER, 431),
    _bad("300 trailers", b"0\r\n" + b"X-A: b\r\n" * 300 + b"\r\n", TRAILER, 431),
]

CHUNKS = [*SIZES, *LINES, *EXTENSIONS, *TRAILERS]
