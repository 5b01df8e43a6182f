# ruff: noqa: E501  - a table of words
"""Spoiling messages at random: from a table's rows, by rules that know where parsers differ. The same seed makes the same messages."""

import random
from collections.abc import Sequence

WORDS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\r\n ", b"\0", b" ", b"\t", b"\x0b", b"\x0c", b"\x7f", b"\x80", b"\xff", b":", b";", b",", b'"', b"\\", b"#", b"@",
    b"Content-Length: 3\r\n", b"Content-Length: 0\r\n", b"content-length:5\r\n", b"Transfer-Encoding: chunked\r\n", b"transfer-encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding\r\n", b"Host: other\r\n", b"Connection: close\r\n", b"Connection: keep-alive, x\r\n", b"Connection: Upgrade\r\n",
    b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"X-A: b\r\n", b"TE: trailers\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n", b"00000000000000000003\r\nabc\r\n",
    b"ffffffffffffffff\r\n", b"-1", b"+", b"0x", b"_", b"chunked", b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"RTSP/1.0", b"CONNECT", b"HEAD", b"OPTIONS *", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"http://hello.default.localhost/", b"100 Continue", b"101 Switching Protocols", b"204 No Content", b"304 Not Modified",
]  # fmt: skip
MOST = 6000  # bytes of a message; what is longer is for the tests of limits


class Mutator:
    def __init__(self, rows: Sequence[bytes], seed: int) -> None:
        self.random = random.Random(seed)
        self._rows = [row for row in rows if len(row) < 2000]

    def message(self) -> bytes:
        """One to four rows behind each other, most of them spoilt in a few places."""
        dice = self.random
        data = b"".join(dice.choice(self._rows) for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 4))))
        for _ in range(dice.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
            data = self._spoilt(data)
        return data[:MOST]

    def pieces(self, data: bytes) -> list[bytes]:
        """The message as it may arrive: whole, byte by byte, or cut anywhere."""
        dice = self.random
        how = dice.random()
        if how < 0.4:
            return [data]
        if how < 0.5 and len(data) < 1000:
            return [data[at : at + 1] for at in range(len(data))]
        cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randint(1, 6)))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if b > a]

    def _spoilt(self, data: bytes) -> bytes:
        dice = self.random
        at = dice.randrange(len(data) + 1)
        to = min(len(data), at + dice.choice((1, 1, 2, 4, 16, 64)))
        match dice.randrange(9):
            case 0:
                return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
            case 1:
                return data[:at] + dice.choice(WORDS) + data[at:]
            case 2:
                return data[:at] + dice.choice(WORDS) + data[to:]
            case 3:
                return data[:at] + data[to:]
            case 4:
                return data[:to] + data[at:to] + data[to:]
            case 5:
                return self._line_spoilt(data)
            case 6:
                other = dice.choice(self._rows)
                return data[:at] + other[dice.randrange(len(other) + 1) :]
            case 7:
                return (
                    data.replace(b"\r\n", dice.choice((b"\n", b"\r", b"\r\n ", b"\r\r\n")), 1) if dice.random() < 0.3 else data.swapcase()
                )
            case _:
                return data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :] if at < len(data) else data

    def _line_spoilt(self, data: bytes) -> bytes:
        """A line is put in, put elsewhere, or put twice: what smuggling is made of."""
        dice = self.random
        lines = data.split(b"\r\n")
        at = dice.randrange(len(lines))
        line = dice.choice(WORDS).rstrip(b"\r\n") if dice.random() < 0.5 else dice.choice(lines)
        if dice.random() < 0.3:
            lines[at] = line
        else:
            lines.insert(at, line)
        return b"\r\n".join(lines)
