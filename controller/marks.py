"""What a plan says about one condition, and how several such statements become a status. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kfn.api.conditions import FALSE, TRUE, UNKNOWN, ConditionSet, find
from kfn.api.meta import Condition


@dataclass(frozen=True, slots=True)
class Mark:
    """One condition as it should be."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


def true(type: str, reason: str = "", message: str = "") -> Mark:
    return Mark(type, TRUE, reason, message)


def false(type: str, reason: str, message: str) -> Mark:
    return Mark(type, FALSE, reason, message)


def unknown(type: str, reason: str = "", message: str = "") -> Mark:
    return Mark(type, UNKNOWN, reason, message)


def settle(of: ConditionSet, conditions: Sequence[Condition], marks: Iterable[Mark], now: datetime) -> list[Condition]:
    """The conditions after all `marks`; a condition of the set that none of them names is kept, or Unknown."""
    after = of.initial(conditions, now)
    for mark in marks:
        after = of.mark(after, mark.type, mark.status, mark.reason, mark.message, now)
    return after


def as_it_was(conditions: Sequence[Condition], type: str, otherwise: Mark) -> Mark:
    """The condition unchanged if it says True or False already, else `otherwise`: no news does not overturn a verdict."""
    old = find(conditions, type)
    if old is None or old.status == UNKNOWN:
        return otherwise
    return Mark(type, old.status, old.reason, old.message)
