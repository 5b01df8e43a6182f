"""A Broker's dead letters: listed, shown, handed to their Trigger once more, or thrown away, a bounded page at a time.

One is handed over by storing it in the Broker's stream under a subject that its Trigger's consumer alone has (`subjects.to`), and is
removed here only after that. So it survives whatever dies, is tried as often as any event, and other Triggers do not see it.
"""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from eventing import errors, stored, streams, subjects
from eventing.bus import Bus
from eventing.dispatch import REPLAYED
from eventing.settings import Settings
from eventing.stored import Stored
from kfn.cloudevents import InvalidEvent, encoding
from kfn.cloudevents import json as format
from kfn.cloudevents import nats as binding

PAGE = 100
LARGEST = 500  # items of one page
LOOKED_AT = 2000  # messages that one page looks at, whether they are wanted or not
BYTES = 16 << 20  # of these
ADDED = ("knativeerrordest", "knativeerrorcode", "knativeerrordata")  # what made an event a dead letter

Uid = Callable[[str, str, str], str | None]
"""(namespace, broker, trigger) to the Trigger's uid; None if there is none."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which are meant; everything given must hold. `after` and `until` are sequences among the dead letters, `since` is RFC 3339."""

    trigger: str = ""
    id: str = ""
    sequence: int = 0
    since: str = ""
    after: int = 0
    until: int = 0
    limit: int = PAGE


@dataclass(slots=True)
class Page:
    """`until` ends the walk: what dies while it goes on is not part of it. `after` is where the next page begins, 0 when there is none."""

    items: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    after: int = 0
    until: int = 0

    def told(self) -> dict[str, Any]:
        return {"items": self.items, "failed": self.failed, "after": self.after, "until": self.until}


class DeadLetters:
    """Of one Broker."""

    def __init__(self, bus: Bus, settings: Settings, namespace: str, broker: str, uid: Uid) -> None:
        self._bus, self._settings, self._namespace, self._broker, self._uid = bus, settings, namespace, broker, uid
        self._stream = subjects.dead_stream(namespace, broker)
        self._prepared: dict[str, str] = {}  # trigger -> its uid, of those found able to take events

    async def list(self, wanted: Selection) -> Page:
        """Raises `BusError`."""
        page = Page()
        async for one in self._walk(wanted, page):
            page.items.append(summary(one))
        return page

    async def show(self, sequence: int) -> dict[str, Any] | None:
        """One with all its headers and its data."""
        one = await stored.following(self._bus, self._stream, subjects.dead_letters(self._namespace, self._broker), sequence=sequence)
        if one is None or one.sequence != sequence:
            return None
        shown = summary(one) | {"subject": one.subject, "headers": one.headers}
        try:
            return shown | {"event": json.loads(format.dumps(binding.parse(one.headers, one.data)))}
        except InvalidEvent as error:
            return shown | {"problem": str(error), "data": one.data.decode("utf-8", "replace")}

    async def purge(self, wanted: Selection) -> Page:
        page = Page()
        async for one in self._walk(wanted, page):
            await stored.remove(self._bus, self._stream, one.sequence)
            page.items.append(summary(one))
        return page

    async def replay(self, wanted: Selection) -> Page:
        page = Page()
        async for one in self._walk(wanted, page):
            told = summary(one)
            try:
                await self._again(one, told["trigger"])
            except (errors.Refused, errors.TooLarge, errors.NoStream, InvalidEvent) as error:
                page.failed.append(told | {"error": str(error)})
            else:
                page.items.append(told)
        return page

    async def _walk(self, wanted: Selection, page: Page) -> AsyncIterator[Stored]:
        """What is wanted, oldest first; fills in where the page ends. What is removed meanwhile is passed over."""
        namespace, broker = self._namespace, self._broker
        all_, own = subjects.dead_letters(namespace, broker), subjects.dead_letters_of(namespace, broker, wanted.trigger)
        subject = own if wanted.trigger else all_
        page.until = wanted.until or int((await self._bus.api(f"STREAM.INFO.{self._stream}"))["state"]["last_seq"])
        since = wanted.since if not wanted.after else ""
        at = max(wanted.after + 1, wanted.sequence)
        page.until = min(page.until, wanted.sequence) if wanted.sequence else page.until
        found = looked = size = 0
        while at <= page.until:
            one = await stored.following(self._bus, self._stream, subject, sequence=at, since=since)
            if one is None or one.sequence > page.until:
                break
            since, at = "", one.sequence + 1
            looked, size = looked + 1, size + len(one.data)
            if not wanted.id or _attribute(one, "id") == wanted.id:
                found += 1
                yield one
            if found >= min(wanted.limit, LARGEST) or looked >= LOOKED_AT or size >= BYTES:
                page.after = one.sequence if at <= page.until else 0
                break

    async def _again(self, one: Stored, trigger: str) -> None:
        """Store it for its Trigger alone, and only then remove it. Raises `BusError`; then it is still among the dead letters."""
        uid = await self._ready(trigger)
        event = binding.parse(one.headers, one.data).with_attributes(**dict.fromkeys(ADDED))
        await self._bus.publish(
            subjects.stream(self._namespace, self._broker),
            subjects.to(self._namespace, self._broker, uid),
            {**binding.headers(event), REPLAYED: str(one.sequence)},
            event.data or b"",
            id=subjects.again_id(self._stream, one.sequence, one.time),
        )
        await stored.remove(self._bus, self._stream, one.sequence)

    async def _ready(self, trigger: str) -> str:
        """The uid of the Trigger, whose consumer is there: what is stored before that, nobody would get. Raises `Refused`."""
        if trigger in self._prepared:
            return self._prepared[trigger]
        uid = self._uid(self._namespace, self._broker, trigger)
        if uid is None:
            raise errors.Refused(f"broker {self._broker!r} has no trigger {trigger!r} any more; make one of that name, or purge it")
        stream = subjects.stream(self._namespace, self._broker)
        try:
            config = (await self._bus.consumer_info(stream, subjects.consumer(uid)))["config"]
        except errors.NoStream:
            raise errors.Refused(f"trigger {trigger!r} is not ready to take events yet; try again in a moment") from None
        if subjects.to(self._namespace, self._broker, uid) not in streams.filters(config):
            raise errors.Refused(f"trigger {trigger!r} is being changed; try again in a moment")
        self._prepared[trigger] = uid
        return uid


def summary(one: Stored) -> dict[str, Any]:
    """What a list shows: all but headers and data."""
    return {
        "sequence": one.sequence,
        "time": one.time,
        "trigger": trigger_of(one),
        "type": _attribute(one, "type"),
        "id": _attribute(one, "id"),
        "source": _attribute(one, "source"),
        "attempts": int(one.headers.get("Kfn-Attempts") or 0),
        "code": _attribute(one, "knativeerrorcode"),
        "reason": _decoded("ce-error", one.headers.get("Kfn-Error", "")) or one.subject.rpartition(".")[2],
        "bytes": len(one.data),
    }


def trigger_of(one: Stored) -> str:
    """Its header says so; of those stored before there was one, the subject does."""
    return one.headers.get("Kfn-Trigger-Name") or unquote(one.subject.split(".")[-2])


def _attribute(one: Stored, name: str) -> str:
    for header, value in one.headers.items():
        if header.lower() == f"ce-{name}":
            return _decoded(header, value)
    return ""


def _decoded(header: str, value: str) -> str:
    try:
        return encoding.decode(header, value)
    except InvalidEvent:
        return value
