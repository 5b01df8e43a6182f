"""The way past the router for what is published: it takes what the router would give to the ingress, and nothing else."""

import pytest
from starlette.routing import Match, Route

from eventing.ingress import AT, AT_CHANNEL, params_of


async def endpoint(scope: object, receive: object, send: object) -> None: ...


ROUTES = [Route(AT_CHANNEL, endpoint, methods=["POST"]), Route(AT, endpoint, methods=["POST"])]


def routed(path: str) -> dict[str, str] | None:
    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "root_path": ""}
    for route in ROUTES:
        match, child = route.matches(scope)
        if match is Match.FULL:
            found: dict[str, str] = child["path_params"]
            return found
    return None


@pytest.mark.parametrize(
    "path",
    [
        "/ns/default", "/ns/a b", "/ns/\u00e4.b", "/ns/channels/c", "/ns/inmemorychannels/c", "/ns/channels/dead-letters", "/", "//", "/ns",
        "/ns/",
        "//broker", "/ns/broker/", "/ns/broker/events", "/ns/channels/", "/ns/channels/c/events", "/ns/channels", "/health/readiness",
        "/webhooks/ns/hook", "/jobsinks/ns/sink", "/ns/pipelines/p", "ns/broker", "",
    ],
)  # fmt: skip
def test_it_finds_what_the_router_finds(path: str) -> None:
    assert params_of(path) == routed(path)


@pytest.mark.parametrize("path", ["/webhooks/channels/hook", "/jobsinks/inmemorychannels/sink"])
def test_it_leaves_to_the_router_what_another_door_may_want(path: str) -> None:
    assert params_of(path) is None
