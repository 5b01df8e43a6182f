"""Up to where everything of a Kafka partition is done, while later records may be done before earlier ones. Pure."""


class Progress:
    """`start` is the offset that comes first. Offsets rise, with gaps where records were compacted away or belong to a transaction."""

    def __init__(self, start: int) -> None:
        self._next = start
        self._open: dict[int, None] = {}  # in the order in which they were begun

    def begin(self, offset: int) -> bool:
        """False: it was begun before."""
        if offset < self._next:
            return False
        self._open[offset] = None
        self._next = offset + 1
        return True

    def done(self, offset: int) -> None:
        del self._open[offset]

    @property
    def settled(self) -> int:
        """What may be committed: whoever goes on from there misses nothing."""
        return next(iter(self._open), self._next)
