"""The bytes of one response for the client: framed as the client can read it, gathered until the instance's bytes have been read.

It decides nothing about connections; `Exchange` writes what `take` gives.
"""

from gateway import heads


class Reply:
    __slots__ = ("_out", "length", "until_close")

    def __init__(self) -> None:
        self._out: list[bytes] = []
        self.length = 0  # how the body is framed, as in heads.ResponseHead
        self.until_close = False  # the instance ends the body by closing its connection

    def begin(self, head: heads.ResponseHead, extra: bytes = b"") -> None:
        self.length = head.length
        self.until_close = not head.ends_by_length
        self._out = head.wire
        self._out.append(extra + b"\r\n")

    def add(self, data: bytes) -> None:
        if self.length == heads.CHUNKED:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def end(self, trailers: heads.Headers = ()) -> None:
        if self.length == heads.CHUNKED:
            self._out.append(b"0\r\n%b\r\n" % heads.trailers(trailers) if trailers else b"0\r\n\r\n")

    @property
    def can_end_early(self) -> bool:
        """A sized body cannot: its client waits for the rest."""
        return self.length in (heads.CHUNKED, heads.UNTIL_CLOSE)

    def take(self) -> bytes:
        """What has been gathered since the last call."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return b"".join(out)
