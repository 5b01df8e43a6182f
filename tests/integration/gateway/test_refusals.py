"""What a client gets of a request that the gateway answers itself: the status, a line for people or problem+json for programs."""

import json
from typing import Any

import pytest

from tests.fakes.routed import HOST, Answer, Cluster, Routed, routed
from tests.fakes.upstream import Reader, Received, Writer, upstream

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


async def _vanish(request: Received, reader: Reader, writer: Writer) -> bytes | None:
    return None


async def _ask(gw: Routed, host: str, accept: str) -> Answer:
    return await gw.get(host=host, **({"Accept": accept} if accept else {}))


@pytest.mark.parametrize(
    ("status", "title", "host", "settings", "retry"),
    [
        pytest.param(404, "Not Found", "nobody.default.localhost", {}, None, id="unknown-host"),
        pytest.param(502, "Bad Gateway", HOST, {}, None, id="an-instance-that-vanishes"),
        pytest.param(503, "Service Unavailable", "idle.default.localhost", {"line": 0, "retry_after": 7}, "7", id="line-full"),
        pytest.param(504, "Gateway Timeout", "idle.default.localhost", {"wait": 0.05, "tick": 0.01}, None, id="not-ready-in-time"),
    ],
)
async def test_every_refusal_is_for_people_or_for_programs(
    status: int, title: str, host: str, settings: dict[str, Any], retry: str | None
) -> None:
    cluster = Cluster()
    for name in ("hello", "idle"):
        cluster.route(name)
        cluster.revision(f"{name}-00001")
    async with upstream(_vanish) as instance, routed(cluster, **settings) as gw:
        cluster.instance(instance.port)
        for accept in ("", "*/*", BROWSER, "text/plain", "application/json;q=0"):
            answer = await _ask(gw, host, accept)
            assert (answer.status, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8"), accept
            assert answer.text.count("\n") == 1
            assert answer.headers.get("retry-after") == retry
        for accept in ("application/json", "application/problem+json", "application/*", "application/json, text/plain, */*"):
            answer = await _ask(gw, host, accept)
            assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), accept
            problem = json.loads(answer.body)
            assert (problem["status"], problem["title"], problem["type"]) == (status, title, "about:blank")
            assert problem["detail"]
            assert answer.headers.get("retry-after") == retry
