"""Load of one revision over time, in buckets of one second: what came in samples, averaged over the stable or the panic window.

Every gateway has buckets of its own, because gateways report at different moments: each average ends where that gateway's last
report ended, and the revision's load is the sum of them. Time begins, for all of them, with the first sample of any, so that load
that moves from one gateway to another stays the same load. A gateway that has said nothing for two periods has no load any more;
what it said before stays in the average as long as the window reaches back to it. The caller brings the time.
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
    """Buckets that reach `span` seconds back, of every gateway that had load since then."""

    __slots__ = ("_first", "_gateways", "_last", "last_load", "span")

    def __init__(self, span: float) -> None:
        self.span = span
        self.last_load: float | None = None
        self._gateways: dict[str, _Gateway] = {}
        self._first: float | None = None
        self._last = 0.0

    def record(self, now: float, period: float, concurrency: float, requests: int, idle: float = 0.0, gateway: str = "") -> None:
        """Add one sample, of the `period` seconds that end now; in the last `idle` of them nobody was inside that gateway."""
        period = min(max(period, 1e-3), self.span)
        start = now - period
        if self._first is None or start - self._last >= self.span:
            self._gateways.clear()
            self._first = start
        self._first = min(self._first, start)  # an older one of another gateway may come later
        if now > self._last:
            self._last = now
            self._gateways = {name: one for name, one in self._gateways.items() if one.last > now - self.span}
        if concurrency > 0 or requests > 0:
            self.last_load = max(now - min(max(idle, 0.0), period), self.last_load or 0.0)
        one = self._gateways.get(gateway)
        if one is None:
            one = self._gateways[gateway] = _Gateway()
        one.record(now, period, concurrency, requests, self.span)

    def gone(self, gateway: str) -> None:
        """That gateway will say no more: from now on it has no load, without waiting for its silence."""
        if (one := self._gateways.get(gateway)) is not None:
            one.gone = True

    def average(self, now: float, window: float, *, weighted: bool = False) -> Load | None:
        """The load over the last `window` seconds, or over as many as there are; None when no sample ever came."""
        if self._first is None:
            return None
        if self.last_load is None or self.last_load <= now - window + 1e-9:
            return NOTHING
        concurrency = requests = 0.0
        for one in self._gateways.values():
            end = one.end(now)
            part = one.weighted(end, window) if weighted else one.mean(end, window, self._first)
            concurrency += part[0]
            requests += part[1]
        return Load(round(concurrency, DIGITS), round(requests, DIGITS))


class _Gateway:
    """What one gateway said of each second: request-seconds, requests, and how much of it was spoken of.

    Two reports overlap when the second was under way for less time than the first. What was said of the same moment twice counts once,
    or two requests that are always there would be 2.001, and one instance too many every other second.
    """

    __slots__ = ("buckets", "gone", "last", "period")

    def __init__(self) -> None:
        self.buckets: dict[int, list[float]] = {}
        self.gone = False
        self.last = 0.0
        self.period = 1.0

    def record(self, now: float, period: float, concurrency: float, requests: int, span: float) -> None:
        self.gone = False
        self.last, self.period = max(now, self.last), period
        at = now - period
        while at < now - 1e-9:
            index = floor(at + 1e-9)
            until = min(now, index + 1.0)
            bucket = self.buckets.setdefault(index, [0.0, 0.0, 0.0])
            bucket[0] += concurrency * (until - at)
            bucket[1] += requests * (until - at) / period
            bucket[2] += until - at
            at = until
        if len(self.buckets) > span + 2:
            oldest = floor(now - span)
            self.buckets = {index: bucket for index, bucket in self.buckets.items() if index >= oldest}

    def end(self, now: float) -> float:
        """Until when it is known what the load was: its last report, or now, if no report is to be expected."""
        silent = self.gone or now - self.last > SILENCE_PERIODS * max(self.period, 1.0)
        return now if silent else self.last

    def mean(self, end: float, window: float, first: float) -> tuple[float, float]:
        start = max(end - window, first)
        concurrency = requests = said = 0.0
        for index, bucket in self.buckets.items():
            if index + 1 > start and index < end:
                part = index + 1 - start if start > first and index < start else 1.0
                concurrency += bucket[0] * part
                requests += bucket[1] * part
                said += bucket[2] * part
        seconds = end - start
        return (concurrency / max(seconds, said), requests / max(1.0, seconds)) if seconds > 0 else (0.0, 0.0)

    def weighted(self, end: float, window: float) -> tuple[float, float]:
        """Knative's exponential weights: older seconds count less, and those of a whole window make 99.99 %."""
        count = max(1, round(window))
        coefficient = max(0.2, 1 - (1 - 0.9999) ** (1 / count))
        newest = floor(end - 1e-9)
        concurrency = requests = 0.0
        for age in range(count):
            if bucket := self.buckets.get(newest - age):
                weight = coefficient * (1 - coefficient) ** age
                concurrency += bucket[0] / max(1.0, bucket[2]) * weight
                requests += bucket[1] * weight
        return concurrency, requests
