"""Projects made by Knative's `func create -l python`: `new()` gives an object with `handle(scope, receive, send)`.

Such a handler is ASGI without lifespan. For CloudEvents the event stands in `scope["event"]` and `send` takes an event too.
"""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from kfn.function.errors import BadEvent
from kfn.function.event import Event
from kfn.function.event_http import from_http, is_event, to_headers, to_json
from kfn.function.exchange import Exchange
from kfn.function.kinds.asgi import App, Call, Message, scope
from kfn.function.kinds.hooks import Hooks

Handle = Callable[[Any, Any, Any], Awaitable[None]]


class Knative:
    """A function of Knative's `func`."""

    def __init__(self, handle: App, hooks: Hooks, max_body: int) -> None:
        self._handle = handle
        self._max_body = max_body
        self.start = hooks.start
        self.stop = hooks.stop
        self.health = hooks.health

    async def __call__(self, exchange: Exchange) -> None:
        call = Call(exchange)
        about = scope(exchange, {})
        receive: Callable[[], Awaitable[Message]] = call.receive
        if is_event(exchange.headers):
            body = await exchange.read(self._max_body)
            event = from_http(exchange.headers, body)
            if event is not None:
                about["event"] = to_library(event)
            receive = Replay(body, call.receive)
        try:
            await self._handle(about, receive, Sender(call))
        except KeyError as error:
            if error.args == ("event",) and "event" not in about and not exchange.status:
                raise BadEvent("This function takes CloudEvents, and the request is none: attribute `specversion` is missing.") from error
            raise
        call.ended()


class Replay:
    """`receive` over a body that has been read already."""

    def __init__(self, body: bytes, then: Callable[[], Awaitable[Message]]) -> None:
        self._body: bytes | None = body
        self._then = then

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._then()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class Sender:
    """`send` that takes ASGI messages and CloudEvents, and the other ways in which func's functions send."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.http = call.send

    async def __call__(self, message: Any, status: int = 200) -> None:
        if isinstance(message, dict):
            await self._call.send(message)
        else:
            await self.structured(message, status)

    async def structured(self, event: Any, status: int = 200) -> None:
        import json

        await self._send(status, [(b"content-type", b"application/cloudevents+json")], json.dumps(to_json(from_library(event))).encode())

    async def binary(self, event: Any, status: int = 200) -> None:
        ours = from_library(event)
        await self._send(status, to_headers(ours), ours.body)

    async def _send(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        headers.append((b"content-length", b"%d" % len(body)))
        await self._call.send({"type": "http.response.start", "status": status, "headers": headers})
        await self._call.send({"type": "http.response.body", "body": body})


def to_library(event: Event) -> Any:
    """The event as the function's own `cloudevents` package has it, or as it is if there is none."""
    made = _library()
    if made is None:
        return event
    kind, typed = made
    attributes: dict[str, Any] = dict(event.attributes)
    if typed and "time" in attributes:
        from datetime import datetime

        attributes["time"] = datetime.fromisoformat(attributes["time"].upper())
    return kind(attributes, event.data)


@cache
def _library() -> tuple[Any, bool] | None:
    """The package's class, and whether its `time` is a datetime (since 2.0) and not text."""
    try:
        from cloudevents.core.v1.event import CloudEvent  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        try:
            from cloudevents.http import CloudEvent  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            return None
        return CloudEvent, False
    return CloudEvent, True


def from_library(event: Any) -> Event:
    """The event that a function sent, whichever class it is of."""
    if isinstance(event, Event):
        return event
    if not hasattr(event, "get_attributes"):
        raise BadEvent(f"send was given {type(event).__name__}; it takes an ASGI message or a CloudEvent.")
    attributes = {}
    for name, value in dict(event.get_attributes()).items():
        if value is not None:
            attributes[name] = value.isoformat() if hasattr(value, "isoformat") else str(value)
    attributes.setdefault("specversion", "1.0")
    data = event.get_data() if hasattr(event, "get_data") else event.data
    if data is not None:
        attributes.setdefault("datacontenttype", "application/octet-stream" if isinstance(data, bytes) else "application/json")
    return Event.received(attributes, None if data is not None else b"", data)
