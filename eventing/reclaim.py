"""How far a stream may be emptied when it runs full: up to what every Trigger has settled, and no further. Pure.

Settled events are kept while there is room, so that they can be shown and replayed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FULL = 0.75


@dataclass(frozen=True, slots=True)
class Stream:
    """Sizes are bytes. `last` is read before the consumers are."""

    size: int
    limit: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Consumer:
    """`settled` is the sequence up to which everything is acknowledged; with nothing pending it may be far behind the stream."""

    settled: int
    pending: int
    in_work: int


def purge_below(stream: Stream, consumers: Sequence[Consumer]) -> int | None:
    """The sequence below which messages may be removed, to make the stream half empty; None if it has room or nothing is settled."""
    if stream.limit <= 0 or stream.size < FULL * stream.limit or stream.last < stream.first:
        return None
    done = min((stream.last if not (c.pending or c.in_work) else c.settled for c in consumers), default=stream.last)
    count = stream.last - stream.first + 1
    enough = stream.first + int(count * (1 - 0.5 * stream.limit / stream.size)) + 1
    below = min(done + 1, enough)
    return below if below > stream.first else None
