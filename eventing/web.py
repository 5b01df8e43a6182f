"""The addresses that eventing serves on its one port: ingress, webhooks, doors, metrics, health."""

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from eventing.ingress import AT, AT_CHANNEL, Ingress, params_of
from eventing.metrics import Metrics

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def app(ingress: Ingress, metrics: Metrics, healthy: Callable[[], bool], doors: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The ASGI app."""

    async def expose(request: Request) -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok\n") if healthy() else PlainTextResponse("NATS cannot be reached\n", 503)

    async def alive(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    app = Starlette(
        routes=[
            Route("/metrics", expose),
            Route("/health/readiness", health),
            Route("/health/liveness", alive),
            *doors,  # what is sent to a Channel called `events` goes on to the next: that door is for GET only
            Route(AT_CHANNEL, ingress.handle, methods=_METHODS),
            Route(AT, ingress.handle, methods=_METHODS),
        ]
    )
    return _Front(app, ingress)


class _Front:
    """What is published to a Broker or channel goes to the ingress without a look at thirty other routes, none of which is as short, and
    without what a framework wraps around an endpoint: together they cost as much as the rest of a publish."""

    def __init__(self, app: ASGIApp, ingress: Ingress) -> None:
        self._app, self._ingress = app, ingress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or (params := params_of(scope["path"])) is None:
            await self._app(scope, receive, send)
            return
        scope["path_params"] = params
        response = await self._ingress.handle(Request(scope, receive, send))
        await response(scope, receive, send)
