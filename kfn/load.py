"""What the gateway tells the autoscaler: load samples and pokes.

The gateway produces them, the autoscaler consumes them; neither imports the other. Embedded, both share one
event loop and `LoadSink` is called directly; on a cluster the gateway's sink sends them over the wire.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class RevisionKey(NamedTuple):
    """Names one Revision in the cluster. A tuple: a dataclass takes nine times as long to be found in a dictionary."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Sample:
    """Load on one revision during one period, as one gateway saw it.

    `concurrency` is the time-weighted mean number of requests inside the gateway (waiting ones included) over
    `period` seconds; `requests` counts arrivals in it. `waiting` is the number held with no instance at its end.
    `idle` is for how long, at its end, no request has been inside: it makes the end of the stable window exact.
    """

    revision: RevisionKey
    concurrency: float
    requests: int
    waiting: int
    period: float
    idle: float = 0.0


class LoadSink(Protocol):
    """Where a gateway sends what it sees. Both calls return at once and never raise."""

    def poke(self, revision: RevisionKey, waiting: int) -> None:
        """A request waits and there is no instance: decide now, do not wait for the next tick."""
        ...

    def report(self, samples: Sequence[Sample]) -> None:
        """One sample a revision, about once a second, while there is traffic and once after it ends."""
        ...
