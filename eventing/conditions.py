"""Status conditions: Ready from the others, and times that change only when a status does. Pure."""

from collections.abc import Sequence

from kfn.api.meta import Condition


def true(type_: str, reason: str = "", message: str = "") -> Condition:
    return Condition(type=type_, status="True", reason=reason, message=message)


def false(type_: str, reason: str, message: str) -> Condition:
    return Condition(type=type_, status="False", reason=reason, message=message)


def unknown(type_: str, reason: str, message: str) -> Condition:
    return Condition(type=type_, status="Unknown", reason=reason, message=message)


def merged(old: Sequence[Condition], wanted: Sequence[Condition], now: str) -> list[Condition]:
    """`wanted` plus Ready, sorted by type; what did not change its status keeps its time."""
    worst = next((c for c in wanted if c.status == "False"), None) or next((c for c in wanted if c.status != "True"), None)
    ready = true("Ready") if worst is None else Condition(type="Ready", status=worst.status, reason=worst.reason, message=worst.message)
    before = {c.type: c for c in old}
    return [_timed(before.get(c.type), c, now) for c in sorted((*wanted, ready), key=lambda c: c.type)]


def is_true(conditions: Sequence[Condition], type_: str = "Ready") -> bool:
    return any(c.type == type_ and c.status == "True" for c in conditions)


def _timed(before: Condition | None, now: Condition, time: str) -> Condition:
    kept = before.last_transition_time if before and before.status == now.status and before.last_transition_time else time
    return Condition(type=now.type, status=now.status, last_transition_time=kept, reason=now.reason, message=now.message)
