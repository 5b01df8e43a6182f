"""Looking on: a Broker's events as they are stored, from now or from a time, one JSON event a line. Takes nothing from any Trigger."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import timedelta

import anyio
import nats.errors

from eventing import errors, streams, subjects
from eventing.bus import Bus
from eventing.delivery import DeliveryError, seconds
from eventing.match import AllOf, Attribute, Filter, FilterError, matches, types
from kfn.clock import utcnow
from kfn.cloudevents import Event, InvalidEvent
from kfn.cloudevents import json as format
from kfn.cloudevents import nats as binding

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_SHORT = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_KEEP_ALIVE = 15.0


def start(since: str) -> str:
    """`10m`, an ISO-8601 duration or an RFC 3339 time, as RFC 3339; empty stays empty. Raises ValueError."""
    if not since or _RFC3339.fullmatch(since):
        return since
    short = _SHORT.fullmatch(since)
    try:
        ago = float(short[1]) * _UNITS[short[2]] if short else seconds(since, "since")
    except DeliveryError:
        raise ValueError(f"since: {since!r} is neither a duration such as 10m nor a time such as 2026-01-31T10:00:00Z") from None
    return (utcnow() - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def wanted(filters: list[str]) -> Filter:
    """`attribute=value` conditions, all of which must hold. Raises FilterError."""
    parts = []
    for text in filters:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise FilterError(f"filter: {text!r} is not of the form attribute=value")
        parts.append(Attribute("exact" if value else "present", name, value))
    return AllOf(tuple(parts))


async def tail(bus: Bus, namespace: str, broker: str, *, since: str = "", filter: Filter = AllOf()) -> AsyncGenerator[Event | None, None]:  # noqa: B008
    """Events in the order stored, until closed; None now and then, so that a reader who left is noticed. Raises `BusError`.

    After a reconnect it goes on where it was.
    """
    send, receive = anyio.create_memory_object_stream[tuple[int, Event] | None](1024)
    last, name, stale = 0, "", False

    def wake() -> None:
        nonlocal stale
        stale = True
        with suppress(anyio.WouldBlock):
            send.send_nowait(None)

    async def take(message: nats.aio.msg.Msg) -> None:
        try:
            event = binding.parse(message.headers, message.data)
        except InvalidEvent:
            return
        if matches(filter, event.attributes):
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the reader is gone
                await send.send((message.metadata.sequence.stream, event))

    inbox = bus.client.new_inbox()
    subscription = await bus.client.subscribe(inbox, cb=take)
    forget = bus.on_reconnect(wake)
    try:
        name = await _consumer(bus, namespace, broker, filter, since, last, inbox)
        yield None
        while not bus.ending:
            item: tuple[int, Event] | None = None
            with anyio.move_on_after(_KEEP_ALIVE):
                item = await receive.receive()
            if item is None:
                yield None
            elif item[0] > last:
                last = item[0]
                yield item[1]
            if stale:
                stale = False
                await bus.delete_consumer(subjects.stream(namespace, broker), name)
                name = await _consumer(bus, namespace, broker, filter, since, last, inbox)
    finally:
        forget()
        send.close()
        receive.close()
        with anyio.CancelScope(shield=True), anyio.move_on_after(2):
            await _close(bus, subscription, subjects.stream(namespace, broker), name)


async def _consumer(bus: Bus, namespace: str, broker: str, filter: Filter, since: str, last: int, inbox: str) -> str:
    only = types(filter)
    subject = subjects.of_types(namespace, broker, only)[0] if only is None or len(only) == 1 else subjects.events(namespace, broker)
    config = streams.tail(subject, since)
    if last:
        config = {k: v for k, v in config.items() if k != "opt_start_time"} | {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": last + 1,
        }
    stream = subjects.stream(namespace, broker)
    made = await bus.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": {**config, "deliver_subject": inbox}})
    return str(made["name"])


async def _close(bus: Bus, subscription: object, stream: str, name: str) -> None:
    try:
        await subscription.unsubscribe()  # type: ignore[attr-defined]
        if name:
            await bus.delete_consumer(stream, name)
    except (errors.BusError, nats.errors.Error, OSError):
        return  # the server forgets it by itself


def line(event: Event) -> bytes:
    """One event as a line of JSON; data that spans lines is put on one."""
    text = format.dumps(event)
    if b"\n" in text or b"\r" in text:
        text = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")).encode()
    return text + b"\n"
