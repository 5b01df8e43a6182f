"""The admin port of an embedded platform: health, metrics and the gateway's cold starts, behind the platform's token."""

import hmac

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import admin as gateway_admin
from gateway.app import Gateway

OPEN = ("/healthz", "/readyz")


def app(gateway: Gateway, token: str) -> Starlette:
    routes = Starlette(routes=[Mount("/", gateway_admin.app(gateway))])
    routes.add_middleware(Guard, token=token)
    return routes


class Guard:
    """Asks for `Authorization: Bearer TOKEN`, compared in constant time, on everything but the health checks."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not hmac.compare_digest(given, self._expected):
                await PlainTextResponse("the bearer token of the kubeconfig is needed\n", status_code=401)(scope, receive, send)
                return
        await self._app(scope, receive, send)
