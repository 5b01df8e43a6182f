"""Load of one revision over time, in buckets of one second: what came in samples, averaged over the stable or the panic window.

Samples of several gateways for the same second add up. A revision of which no sample came for two periods has no load.
The caller brings the time.
"""

from dataclasses import dataclass
from math import floor

SILENCE_PERIODS = 2
DIGITS = 6  # so that a sum of fractions does not round up to one instance more


@dataclass(frozen=True, slots=True)
class Load:
    """Mean concurrency, and requests a second."""

    concurrency: float
    rps: float


NOTHING = Load(0.0, 0.0)


class Windows:
    """Buckets that reach `span` seconds back."""

    __slots__ = ("_buckets", "_first", "_last", "_period", "last_load", "span")

    def __init__(self, span: float) -> None:
        self.span = span
        self.last_load: float | None = None
        self._buckets: dict[int, list[float]] = {}
        self._first: float | None = None
        self._last = 0.0
        self._period = 1.0

    def record(self, now: float, period: float, concurrency: float, requests: int, idle: float = 0.0) -> None:
        """Add one sample, of the `period` seconds that end now; in the last `idle` of them nobody was inside."""
        period = min(max(period, 1e-3), self.span)
        start = now - period
        if self._first is None or start - self._last >= self.span:
            self._buckets.clear()
            self._first = start
        self._last, self._period = max(now, self._last), period
        if concurrency > 0 or requests > 0:
            self.last_load = max(now - min(max(idle, 0.0), period), self.last_load or 0.0)
        at = start
        while at < now - 1e-9:
            index = floor(at + 1e-9)
            until = min(now, index + 1.0)
            bucket = self._buckets.setdefault(index, [0.0, 0.0])
            bucket[0] += concurrency * (until - at)
            bucket[1] += requests * (until - at) / period
            at = until
        if len(self._buckets) > self.span + 2:
            oldest = floor(now - self.span)
            self._buckets = {index: bucket for index, bucket in self._buckets.items() if index >= oldest}

    def average(self, now: float, window: float, *, weighted: bool = False) -> Load | None:
        """The load over the last `window` seconds, or over as many as there are; None when no sample ever came."""
        if self._first is None:
            return None
        quiet = now - self._last > SILENCE_PERIODS * max(self._period, 1.0)
        end = now if quiet else self._last
        start = max(end - window, self._first)
        if self.last_load is None or self.last_load <= now - window + 1e-9:
            return NOTHING
        if weighted:
            return self._weighted(end, window)
        concurrency = requests = 0.0
        for index, bucket in self._buckets.items():
            if index + 1 > start and index < end:
                part = index + 1 - start if start > self._first and index < start else 1.0
                concurrency += bucket[0] * part
                requests += bucket[1] * part
        seconds = end - start
        return Load(round(concurrency / seconds, DIGITS), round(requests / max(1.0, seconds), DIGITS))

    def _weighted(self, end: float, window: float) -> Load:
        """Knative's exponential weights: older seconds count less, and those of a whole window make 99.99 %."""
        count = max(1, round(window))
        coefficient = max(0.2, 1 - (1 - 0.9999) ** (1 / count))
        newest = floor(end - 1e-9)
        concurrency = requests = 0.0
        for age in range(count):
            if bucket := self._buckets.get(newest - age):
                weight = coefficient * (1 - coefficient) ** age
                concurrency += bucket[0] * weight
                requests += bucket[1] * weight
        return Load(round(concurrency, DIGITS), round(requests, DIGITS))
