"""The addresses that eventing serves on its one port: ingress, webhooks, tail, doors, metrics, health."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Send

from eventing import errors, tail
from eventing.bus import Bus
from eventing.doors import authorize
from eventing.ingress import Ingress, Refusal, place
from eventing.match import FilterError
from eventing.metrics import Metrics
from eventing.settings import Settings
from kfn.cloudevents import Event

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def app(
    ingress: Ingress, bus: Bus, settings: Settings, metrics: Metrics, healthy: Callable[[], bool], doors: Sequence[BaseRoute] = ()
) -> Starlette:
    """The ASGI app."""

    async def show(request: Request) -> Response:
        namespace, broker = request.path_params["namespace"], place(request)
        try:
            authorize(request, settings.token)
            ingress.require(namespace, broker)
            since, wanted = tail.start(request.query_params.get("since", "")), tail.wanted(request.query_params.getlist("filter"))
        except Refusal as refusal:
            return PlainTextResponse(refusal.text + "\n", refusal.status, refusal.headers)
        except (FilterError, ValueError) as error:
            return PlainTextResponse(f"{error}\n", 400)
        events = tail.tail(bus, namespace, broker, since=since, filter=wanted)
        try:
            await anext(events)  # the consumer is there: what is stored from now on will be shown
        except errors.BusError as error:
            return PlainTextResponse(f"{error}\n", 503, {"Retry-After": "1"})
        return _Tail(events)

    async def expose(request: Request) -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok\n") if healthy() else PlainTextResponse("NATS cannot be reached\n", 503)

    async def alive(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(
        routes=[
            Route("/metrics", expose),
            Route("/health/readiness", health),
            Route("/health/liveness", alive),
            Route("/{namespace}/{broker}/events", show),  # GET only: what is sent to a Channel called `events` goes on to the next
            Route("/{namespace}/channels/{channel}/events", show),
            Route("/{namespace}/channels/{channel}", ingress.handle, methods=_METHODS),
            *doors,
            Route("/{namespace}/{broker}", ingress.handle, methods=_METHODS),
        ]
    )


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
