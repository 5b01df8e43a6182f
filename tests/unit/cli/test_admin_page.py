"""The admin port of a process: what a part adds after the port is open is served too."""

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from cli.process import admin
from cli.process.health import Health


async def test_a_route_that_a_part_adds_later_is_served() -> None:
    routes: list[BaseRoute] = []
    page = admin.app(Health(), [], [], routes)

    async def told(request: Request) -> Response:
        return PlainTextResponse(request.path_params["name"])

    routes.append(Route("/{name}/late", told))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=page), base_url="http://admin") as http:
        assert (await http.get("/x/late")).text == "x"
        assert (await http.get("/healthz")).text == "ok\n"
        assert (await http.get("/nothing")).status_code == 404
