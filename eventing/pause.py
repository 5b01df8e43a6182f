"""Whether a Trigger is paused, by its annotation: `true`, or until a time in RFC 3339. Pure."""

from collections.abc import Mapping
from datetime import datetime

from kfn.api import names

FOREVER = "2200-01-01T00:00:00Z"  # a server takes nothing but a time


class PauseError(ValueError):
    """The annotation is wrong; the message names it."""


def until(annotations: Mapping[str, str], now: datetime) -> str:
    """RFC 3339; empty: not paused, or not any more. Raises `PauseError`: whoever wrote something meant something by it."""
    given = annotations.get(names.PAUSED, "").strip()
    if given.lower() in ("", "false"):
        return ""
    if given.lower() == "true":
        return FOREVER
    try:
        end = datetime.fromisoformat(given)
    except ValueError:
        end = None
    if end is None or end.tzinfo is None:
        raise PauseError(f"annotation {names.PAUSED}: {given[:60]!r} is neither true nor false nor a time such as 2026-01-31T10:00:00Z")
    return given if end > now else ""
