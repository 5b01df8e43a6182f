"""The addresses that eventing serves on its one port: ingress, webhooks, doors, metrics, health."""

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from eventing.ingress import AT, AT_CHANNEL, Ingress
from eventing.metrics import Metrics

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def app(ingress: Ingress, metrics: Metrics, healthy: Callable[[], bool], doors: Sequence[BaseRoute] = ()) -> Starlette:
    """The ASGI app."""

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
            *doors,  # what is sent to a Channel called `events` goes on to the next: that door is for GET only
            Route(AT_CHANNEL, ingress.handle, methods=_METHODS),
            Route(AT, ingress.handle, methods=_METHODS),
        ]
    )
