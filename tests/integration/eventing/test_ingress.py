"""The door for publishers, by HTTP: what is taken, what is refused and why, and the tail."""

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx

from tests.fakes.sink import sink
from tests.integration.eventing.stage import Stage, stage

EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
STRUCTURED = [("content-type", "application/cloudevents+json")]
BATCH = [("content-type", "application/cloudevents-batch+json")]


async def test_every_mode_is_taken_and_delivered(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        assert (await bus.publish("binary")).status == 202
        assert (await bus.post("/default/default", STRUCTURED, json.dumps({**EVENT, "id": "structured"}).encode())).status == 202
        batch = json.dumps([{**EVENT, "id": f"batch{n}"} for n in range(5)]).encode()
        assert (await bus.post("/default/default", BATCH, batch)).status == 202
        assert (await bus.publish("old", specversion="0.3")).status == 202
        await subscriber.wait(8)
        assert set(subscriber.ids) == {"binary", "structured", "old", *(f"batch{n}" for n in range(5))}
        assert next(got for got in subscriber.got if got.id == "old").event.specversion == "0.3"
        metrics = (await bus.http.request("GET", f"http://127.0.0.1:{bus.eventing.port}/metrics")).body.decode()
        assert 'kfn_events_accepted_total{broker="default",namespace="default"} 8.0' in metrics


async def test_what_is_refused_and_why(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus:
        await bus.broker()
        path, good = "/default/default", json.dumps(EVENT).encode()

        async def refused(
            status: int, words: str, headers: list[tuple[str, str]], body: bytes, path: str = path, method: str = "POST"
        ) -> Any:
            answer = await bus.post(path, headers, body, method)
            assert (answer.status, words in answer.body.decode()) == (status, True), answer
            return answer

        await refused(404, "kfn broker create nope", STRUCTURED, good, "/default/nope")
        await refused(404, "", STRUCTURED, good, "/default/default/more")
        assert (await refused(405, "POST", [], b"", method="GET")).header(b"allow") == b"POST, OPTIONS"
        await refused(405, "POST", STRUCTURED, good, method="PUT")
        await refused(400, "ce-type: is required", [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s")], b"")
        await refused(400, "specversion: '9.9' is not supported", STRUCTURED, json.dumps({**EVENT, "specversion": "9.9"}).encode())
        await refused(400, "not a CloudEvent", [("content-type", "application/json")], b"{}")
        await refused(415, "application/cloudevents+xml is not supported", [("content-type", "application/cloudevents+xml")], b"<event/>")
        await refused(413, "1048576 bytes", STRUCTURED, b"x" * (1 << 20) + b"x")
        await refused(413, "attributes must not be larger", STRUCTURED, json.dumps({**EVENT, "ext": "x" * 40_000}).encode())
        await refused(400, "[1].id: is required", BATCH, json.dumps([EVENT, {**EVENT, "id": ""}]).encode())
        await refused(400, "knativebrokerttl", [*[(f"ce-{k}", v) for k, v in EVENT.items()], ("ce-knativebrokerttl", "1")], b"")


async def test_the_webhook_handshake(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus:
        await bus.broker()
        headers = [("webhook-request-origin", "https://example.com"), ("webhook-request-rate", "120")]
        answer = await bus.post("/default/default", headers, b"", "OPTIONS")
        assert answer.status == 200
        assert (answer.header(b"allow"), answer.header(b"webhook-allowed-origin"), answer.header(b"webhook-allowed-rate")) == (
            b"POST, OPTIONS", b"https://example.com", b"120",
        )  # fmt: skip


async def test_while_nats_is_away_a_publisher_is_told_to_come_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus:
        await bus.broker()
        os.kill(bus.server.pid, signal.SIGSTOP)
        try:
            answer = await bus.publish("1")
        finally:
            os.kill(bus.server.pid, signal.SIGCONT)
        assert (answer.status, answer.header(b"retry-after")) == (503, b"1")
        assert (await bus.publish("1")).status == 202


@asynccontextmanager
async def tailing(bus: Stage, query: str = "", token: str = "open sesame") -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    url = f"http://127.0.0.1:{bus.eventing.port}/default/default/events{query}"
    async with httpx.AsyncClient(timeout=30) as client, client.stream("GET", url, headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status_code == 200, await answer.aread()

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for line in answer.aiter_lines():
                if line.strip():
                    yield json.loads(line)

        async with aclosing(events()) as lines:
            yield lines


async def take(events: AsyncIterator[dict[str, Any]], count: int) -> list[str]:
    with anyio.fail_after(30):
        return [(await anext(events))["id"] for _ in range(count)]


async def test_the_tail_shows_events_as_they_come_and_takes_none_from_a_trigger(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        await bus.publish("before")
        async with tailing(bus) as events:
            for n in range(3):
                await bus.publish(str(n), data=b'{"a":\n1}')
            assert await take(events, 3) == ["0", "1", "2"]
        async with tailing(bus, "?since=1h&filter=type%3Dtest") as events:
            await bus.publish("other", "else")
            await bus.publish("last")
            assert await take(events, 5) == ["before", "0", "1", "2", "last"]
        await subscriber.wait(6)


async def test_the_tail_goes_on_where_it_was_when_nats_comes_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus:
        await bus.broker()
        async with tailing(bus) as events:
            await bus.publish("1")
            assert await take(events, 1) == ["1"]
            os.kill(bus.server.pid, signal.SIGKILL)
            await bus.publish_surely("2")
            await bus.publish_surely("3")
            assert await take(events, 2) == ["2", "3"]


async def test_the_tail_is_shut_without_the_token_and_says_what_is_wrong_with_a_question(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus:
        await bus.broker()

        async def status(path: str, token: str) -> tuple[int, str]:
            answer = await bus.post(path, [("authorization", f"Bearer {token}")], b"", "GET")
            return answer.status, answer.body.decode()

        assert (await status("/default/default/events", "guess"))[0] == 401
        assert (await status("/default/nope/events", "open sesame"))[0] == 404
        assert await status("/default/default/events?since=soon", "open sesame") == (
            400, "since: 'soon' is neither a duration such as 10m nor a time such as 2026-01-31T10:00:00Z\n",
        )  # fmt: skip
        assert "attribute=value" in (await status("/default/default/events?filter=x", "open sesame"))[1]
