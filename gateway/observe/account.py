"""What one revision's requests add up to: load for the autoscaler, counts and durations for Prometheus.

Plain integers and lists, so that a request costs a few additions; `metrics` and the reporting loop read them.
"""

from bisect import bisect_left
from collections import defaultdict

from kfn.load import RevisionKey, Sample

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds


class Meter:
    """Counts one revision's requests. `concurrency` includes those that wait."""

    __slots__ = (
        "_area",
        "_arrivals",
        "_since",
        "_was_busy",
        "_window",
        "answered",
        "codes",
        "concurrency",
        "duration_sum",
        "durations",
        "failures",
        "received",
        "refusals",
        "retries",
    )

    def __init__(self, now: float) -> None:
        self.concurrency = 0
        self.codes: defaultdict[int, int] = defaultdict(int)  # 0: the client left before it was answered
        self.durations = [0] * (len(BUCKETS) + 1)
        self.duration_sum = 0.0
        self.retries = 0
        self.received = 0  # bytes of requests' bodies
        self.answered = 0  # bytes of answers' bodies
        self.failures: dict[str, int] | None = None  # of connections and answers, by kind; not before there are any: many sleep
        self.refusals: dict[tuple[int, str], int] | None = None  # what the gateway itself answered, by status and reason
        self._area = 0.0  # request-seconds since `_window`
        self._since = now
        self._window = now
        self._arrivals = 0
        self._was_busy = False

    def arrive(self, now: float) -> None:
        self._area += self.concurrency * (now - self._since)
        self._since = now
        self.concurrency += 1
        self._arrivals += 1

    def leave(self, now: float, arrived: float, status: int) -> None:
        self._area += self.concurrency * (now - self._since)
        self._since = now
        self.concurrency -= 1
        self.codes[status] += 1
        took = now - arrived
        self.durations[bisect_left(BUCKETS, took)] += 1
        self.duration_sum += took

    def failed(self, kind: str) -> None:
        """An instance could not be reached, or did not answer as it should."""
        if self.failures is None:
            self.failures = {}
        self.failures[kind] = self.failures.get(kind, 0) + 1

    def refuse(self, status: int, reason: str) -> None:
        if self.refusals is None:
            self.refusals = {}
        self.refusals[status, reason] = self.refusals.get((status, reason), 0) + 1

    @property
    def last(self) -> float:
        """When a request came or went last."""
        return self._since

    @property
    def quiet(self) -> bool:
        """`sample` would say nothing: no request since the last call, and that one has said so."""
        return not (self._arrivals or self.concurrency or self._was_busy or self._area)

    def sample(self, key: RevisionKey, waiting: int, now: float, looked: float = 0.0) -> Sample | None:
        """The load since the last call; None when there was none, and the one before had said so already.

        `looked` is when it was last found quiet, and not asked.
        """
        area = self._area + self.concurrency * (now - self._since)
        period = now - max(self._window, looked)
        arrivals = self._arrivals
        idle = 0.0 if self.concurrency else min(period, now - self._since)
        self._area, self._since, self._window, self._arrivals = 0.0, now, now, 0
        busy = bool(arrivals or self.concurrency or area)
        if not busy and not self._was_busy:
            return None
        self._was_busy = busy
        return Sample(key, area / period if period > 0 else float(self.concurrency), arrivals, waiting, period, idle)


def kind(error: OSError) -> str:
    """How connecting to an instance failed, for the count."""
    if isinstance(error, TimeoutError):
        return "connect_timeout"
    return "connect_refused" if isinstance(error, ConnectionRefusedError) else "connect_failed"
