"""Which change of a status is worth an Event: it became ready, or it failed, or it fails for another reason than before. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from kfn.api.meta import Condition


@dataclass(frozen=True, slots=True)
class News:
    """`type` is Normal or Warning, as Kubernetes has it."""

    type: str
    reason: str
    message: str


def news(kind: str, name: str, before: Sequence[Condition], after: Sequence[Condition]) -> News | None:
    """What to say, if anything."""
    old, new = _ready(before), _ready(after)
    if new is None:
        return None
    if new.status == "False" and (old is None or (old.status, old.reason, old.message) != (new.status, new.reason, new.message)):
        return News("Warning", new.reason or "NotReady", new.message or f"{kind} {name} is not ready")
    if new.status == "True" and (old is None or old.status != "True"):
        return News("Normal", "Ready", f"{kind} {name} is ready")
    return None


def _ready(conditions: Sequence[Condition]) -> Condition | None:
    return next((one for one in conditions if one.type == "Ready"), None)
