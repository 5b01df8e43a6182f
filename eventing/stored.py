"""Single messages of a stream, read and removed by sequence, from the stream's leader: what was just stored is seen."""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventing import errors
from eventing.bus import Bus


@dataclass(frozen=True, slots=True)
class Stored:
    """One message. `time` is RFC 3339, with nanoseconds."""

    sequence: int
    time: str
    subject: str
    headers: dict[str, str]
    data: bytes

    @property
    def at(self) -> datetime:
        return moment(self.time)


async def following(bus: Bus, stream: str, subject: str, *, sequence: int = 1, since: str = "") -> Stored | None:
    """The first message on `subject` (wildcards allowed) from a sequence on, or from a time. Raises `BusError`."""
    start: dict[str, Any] = {"start_time": since} if since else {"seq": max(1, sequence)}
    return await _get(bus, stream, {**start, "next_by_subj": subject})


async def last(bus: Bus, stream: str, subject: str) -> Stored | None:
    """The newest message on `subject`. Raises `BusError`."""
    return await _get(bus, stream, {"last_by_subj": subject})


async def _get(bus: Bus, stream: str, asked: dict[str, Any]) -> Stored | None:
    try:
        answer = await bus.api(f"STREAM.MSG.GET.{stream}", asked)
    except errors.NoMessage:
        return None
    found = answer["message"]
    headers, data = base64.b64decode(found.get("hdrs", "")), base64.b64decode(found.get("data", ""))
    return Stored(found["seq"], found["time"], found["subject"], _headers(headers), data)


async def remove(bus: Bus, stream: str, sequence: int) -> bool:
    """False: it was gone. Raises `BusError`."""
    try:
        await bus.api(f"STREAM.MSG.DELETE.{stream}", {"seq": sequence, "no_erase": True})
    except errors.NoMessage:
        return False
    return True


def moment(time: str) -> datetime:
    """RFC 3339 with up to nine digits of a second, of which Python's clock takes six."""
    whole, dot, rest = time.partition(".")
    digits = rest.rstrip("Z")
    return datetime.fromisoformat(f"{whole}.{digits[:6]:0<6}+00:00" if dot else time)


def _headers(block: bytes) -> dict[str, str]:
    """`NATS/1.0`, then a line each."""
    lines = block.decode("utf-8", "replace").split("\r\n")[1:]
    return {name: value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
