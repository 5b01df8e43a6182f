"""The door for whoever looks on: GET <address>/events, one JSON event a line as they are stored. It asks for the platform's token, and
is on the ingress's port and on the admin port, as those of doors.py."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Send

from eventing import errors, tail
from eventing.bus import Bus
from eventing.doors import authorize
from eventing.ingress import AT, AT_CHANNEL, Ingress, Refusal, place
from eventing.match import FilterError
from eventing.settings import Settings
from kfn.cloudevents import Event


class Shown:
    def __init__(self, ingress: Ingress, bus: Bus, settings: Settings) -> None:
        self._ingress, self._bus, self._settings = ingress, bus, settings

    @property
    def routes(self) -> list[BaseRoute]:
        return [Route(f"{at}/events", self._show, methods=["GET"]) for at in (AT, AT_CHANNEL)]

    async def _show(self, request: Request) -> Response:
        namespace, broker = request.path_params["namespace"], place(request)
        try:
            authorize(request, self._settings.token)
            self._ingress.require(namespace, broker)
            since, wanted = tail.start(request.query_params.get("since", "")), tail.wanted(request.query_params.getlist("filter"))
        except Refusal as refusal:
            return PlainTextResponse(refusal.text + "\n", refusal.status, refusal.headers)
        except (FilterError, ValueError) as error:
            return PlainTextResponse(f"{error}\n", 400)
        events = tail.tail(self._bus, namespace, broker, since=since, filter=wanted)
        try:
            await anext(events)  # the consumer is there: what is stored from now on will be shown
        except errors.BusError as error:
            return PlainTextResponse(f"{error}\n", 503, {"Retry-After": "1"})
        return _Tail(events)


class _Tail(StreamingResponse):
    """Events as lines. The tail is closed with the answer, not some time after by the garbage collector: it has a consumer."""

    def __init__(self, events: AsyncGenerator[Event | None, None]) -> None:
        self._events, self._lines = events, _lines(events)
        super().__init__(self._lines, media_type="application/x-ndjson", headers={"Cache-Control": "no-store"})

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._events), aclosing(self._lines):
            await super().stream_response(send)


async def _lines(events: AsyncIterator[Event | None]) -> AsyncGenerator[bytes, None]:
    yield b"\n"  # headers go out now
    async for event in events:
        yield tail.line(event) if event is not None else b"\n"
