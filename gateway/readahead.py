"""The part of a request's body that has come before there is an instance to send it to, and its share of the gateway's memory."""

from gateway.line import Shared


class ReadAhead:
    __slots__ = ("_chunks", "_shared", "size")

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._chunks: list[bytes] = []
        self.size = 0

    def add(self, data: bytes) -> bool:
        """Keep it. False: the client should not be read from until this has gone."""
        self._chunks.append(data)
        self.size += len(data)
        self._shared.held += len(data)
        return self.size <= self._shared.settings.waiting_body

    @property
    def too_much(self) -> bool:
        """All waiting requests together hold more than they may."""
        return self._shared.held > self._shared.settings.waiting_memory

    def take(self) -> list[bytes]:
        """Everything, in order; it is held no more."""
        self._shared.held -= self.size
        self.size = 0
        chunks, self._chunks = self._chunks, []
        return chunks
