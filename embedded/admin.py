"""The admin port of an embedded platform, behind the platform's token: health, every part's metrics, the gateway's cold starts, the
autoscaler's decisions with what they were based on, and the place where gateways outside this process report their load."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from autoscaler import page
from autoscaler.app import Autoscaler
from autoscaler.receive import Receiver
from eventing.app import Eventing
from gateway import admin as gateway_admin
from gateway.app import Gateway
from kfn.observe import bearer

OPEN = ("/healthz", "/readyz")


def app(gateway: Gateway, autoscaler: Autoscaler, loads: Receiver, bus: Eventing, token: str) -> Starlette:
    async def numbers(request: Request) -> Response:
        return gateway_admin.numbers_of(gateway, bus.metrics.registry)

    routes = Starlette(
        routes=[Route("/metrics", numbers), page.decisions(lambda: autoscaler), loads.route, Mount("/", gateway_admin.app(gateway))],
    )
    routes.add_middleware(Guard, token=token)
    return routes


class Guard:
    """Asks for `Authorization: Bearer TOKEN`, compared in constant time, on everything but the health checks."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            if not bearer.allows(given, self._token):
                await PlainTextResponse("the bearer token of the kubeconfig is needed\n", status_code=401)(scope, receive, send)
                return
        await self._app(scope, receive, send)
