"""When something happens again and again: a cron expression in a time zone. Pure; the time is an argument.

The expressions are those that Knative's PingSource takes: five fields, or six with seconds first, the names `@hourly`, `@daily`,
`@weekly`, `@monthly`, `@yearly`, and `@every DURATION`. `cronsim` does the arithmetic, daylight saving time included.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from kfn.api.duration import parse_go

MAX_LENGTH = 200
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}  # fmt: skip


class BadSchedule(ValueError):
    """The expression or the time zone cannot be used; the message says which part and why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`every` is a period in seconds, and 0 where `expression` has cron's fields."""

    expression: str
    zone: tzinfo = UTC
    every: float = 0.0

    def after(self, at: datetime) -> datetime | None:
        """The next time, in UTC, that is later than `at`; None if there is none within 50 years."""
        from cronsim import CronSim  # not above: every command imports the API's types

        if self.every:
            # Counted from the epoch and not from a start, so that a restart changes nothing.
            return datetime.fromtimestamp((math.floor(at.timestamp() / self.every) + 1) * self.every, UTC)
        found: datetime | None = next(iter(CronSim(self.expression, at.astimezone(self.zone))), None)
        return found.astimezone(UTC) if found is not None else None


def parse(text: str, timezone: str = "") -> Schedule:
    """Raises `BadSchedule`. An empty `timezone` is UTC."""
    from cronsim import CronSim, CronSimError

    text = text.strip()
    if len(text) > MAX_LENGTH:
        raise BadSchedule(f"longer than {MAX_LENGTH} characters")
    zone = _zone(timezone)
    if text.startswith("@every "):
        return Schedule(text, zone, _period(text.removeprefix("@every ").strip()))
    if text.startswith("@") and text not in _NAMED:
        raise BadSchedule(f"{text!r} is not known; use {', '.join(_NAMED)}, @every 30s, or five fields such as '*/5 * * * *'")
    fields = _NAMED.get(text, text).replace("?", "*")
    try:
        schedule = Schedule(fields, zone)
        CronSim(fields, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        said = str(error)
        why = "it has to have five fields, or six with seconds first" if "number" in said else f"its {said.removeprefix('Bad ')} is wrong"
        raise BadSchedule(f"{text!r}: {why}, such as '*/5 * * * *'") from None
    if schedule.after(datetime(2026, 1, 1, tzinfo=UTC)) is None:
        raise BadSchedule(f"{text!r} never comes")
    return schedule


def _period(text: str) -> float:
    try:
        seconds = parse_go(text)
    except ValueError as error:
        raise BadSchedule(f"@every {text}: {error}") from None
    if seconds < 1:
        raise BadSchedule(f"@every {text}: the shortest period is 1s")
    return float(int(seconds))


def _zone(name: str) -> tzinfo:
    if not name or name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadSchedule(f"time zone {name!r} is not known; use a name such as Europe/Berlin") from None
