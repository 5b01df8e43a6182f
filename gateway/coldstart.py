"""Where a cold start's time went: the marks of the gateway and of the instance, put in order into phases that add up. Pure."""

from collections.abc import Sized
from dataclasses import asdict, dataclass
from typing import Any, Protocol

PHASES = ("queue", "scale", "start", "import", "ready", "handler")


@dataclass(frozen=True, slots=True)
class StartTimes:
    """What an instance says of its own start in `Kfn-Start`, as Unix times; None: it did not say."""

    spawned: float | None = None
    started: float | None = None
    imported: float | None = None
    ready: float | None = None


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One request that had to wait for an instance to start. Phases in milliseconds; `total` is their sum."""

    at: float  # Unix time of the request's arrival
    request_id: str
    pod: str
    status: int
    phases: dict[str, float]
    total: float

    def server_timing(self) -> bytes:
        """The value of a `Server-Timing` header."""
        return b", ".join(b"%b;dur=%.3f" % (name.encode(), span) for name, span in [*self.phases.items(), ("total", self.total)])

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def parse(header: bytes) -> StartTimes:
    """Read `spawned=..., started=..., imported=..., ready=...`. What cannot be read is left out: it only decorates an answer."""
    found: dict[str, float] = {}
    for part in header.decode("latin-1").split(","):
        name, _, value = part.strip().partition("=")
        if name in ("spawned", "started", "imported", "ready"):
            try:
                found[name] = float(value)
            except ValueError:
                continue
    return StartTimes(**found)


def phases(arrived: float, told: float, sent: float, first_byte: float, start: StartTimes) -> dict[str, float]:
    """Milliseconds per phase, by Unix times. A mark that is missing or before the one before it makes its phase zero,
    so that an instance that was starting already when the request came is not counted against it."""
    marks = [told, start.spawned, start.started, start.imported, sent]
    spans: dict[str, float] = {}
    at = arrived
    for name, mark in zip(PHASES, [*marks, first_byte], strict=True):
        limit = first_byte if name == "handler" else sent
        then = at if mark is None else max(at, min(mark, limit))
        spans[name] = round((then - at) * 1000, 3)
        at = then
    return spans


def warm(arrived: float, dialled: float | None, sent: float | None, first_byte: float) -> bytes:
    """The value of a `Server-Timing` header where an instance was there. Times are of one clock; `dialled` None: on a kept connection."""
    handed = first_byte if sent is None else sent
    placed = handed if dialled is None else min(dialled, handed)
    return _value(queue=placed - arrived, connect=handed - placed, handler=first_byte - handed, total=first_byte - arrived)


def _value(**seconds: float) -> bytes:
    return b", ".join(b"%b;dur=%.3f" % (name.encode(), span * 1000) for name, span in seconds.items())


class Starting(Protocol):
    """An instance: its name, and what it said of its start."""

    name: str
    start: StartTimes | None


class Line(Protocol):
    """Where it waited."""

    @property
    def instances(self) -> Sized: ...


@dataclass(slots=True)
class Stopwatch:
    """The gateway's own marks of one cold request, as Unix times."""

    arrived: float
    told: float
    sent: float = 0.0
    record: ColdStart | None = None  # once it has stopped

    def stop(self, first_byte: float, instance: Starting, status: int, request_id: bytes) -> ColdStart:
        spans = phases(self.arrived, self.told, self.sent, first_byte, instance.start or StartTimes())
        self.record = ColdStart(self.arrived, request_id.decode("latin-1"), instance.name, status, spans, round(sum(spans.values()), 3))
        return self.record

    def given_up(self, now: float, line: Line | None) -> bytes:
        """The value of a `Server-Timing` header where the gateway answers itself: what it waited for last took all the rest."""
        queue, total = self.told - self.arrived, now - self.arrived
        if self.sent:
            return _value(queue=queue, ready=self.sent - self.told, handler=now - self.sent, total=total)
        waited_for = "ready" if line is not None and line.instances else "scale"
        return _value(**{"queue": queue, waited_for: now - self.told, "total": total})
