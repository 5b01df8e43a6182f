"""The admin port of a process: /healthz, /readyz, /metrics, and what the part itself adds. Nothing secret is on it."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router

from cli.process.health import Health

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def app(health: Health, registries: Sequence[CollectorRegistry], pages: Sequence[Callable[[], str]], routes: list[BaseRoute]) -> Starlette:
    """`registries`, `pages` and `routes` are read at each question: a part may add to them later."""
    own = CollectorRegistry()
    ProcessCollector(registry=own)
    GCCollector(registry=own)

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        ready, text = health.readiness()
        return PlainTextResponse(text, 200 if ready else 503)

    async def numbers(request: Request) -> Response:
        text = "".join([*(generate_latest(one).decode() for one in (own, *registries)), *(page() for page in pages)])
        return Response(text, media_type=CONTENT_TYPE)

    added = Router()
    added.routes = routes
    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", numbers), Mount("/", added)])
