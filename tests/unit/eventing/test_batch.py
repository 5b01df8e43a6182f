"""A batch is stored whole or answered with what is missing; what is stored of it is not stored twice."""

import json
from typing import Any

import anyio
import httpx
import pytest

from eventing import errors, web
from eventing.bus import Published
from eventing.gate import Gate, Passes
from eventing.ingress import Ingress
from eventing.metrics import Metrics
from eventing.settings import Settings

OPEN = Gate(None, lambda *place: "", Passes(""))  # type: ignore[arg-type]


class Store:
    """The bus as the ingress sees it: fails for the ids in `away`."""

    def __init__(self, **away: errors.BusError) -> None:
        self.away, self.ids, self.is_up = away, [], True  # type: ignore[var-annotated]

    async def publish(self, stream: str, subject: str, headers: dict[str, str], payload: bytes, *, id: str) -> Published:
        if error := self.away.get(headers["ce-id"]):
            raise error
        self.ids.append(id)
        return Published(1, False)


async def send(
    store: Store, count: int, told: list[str] | None = None, *, extensions: dict[str, str] | None = None, body: bytes = b""
) -> httpx.Response:
    metrics, settings, calls = Metrics(), Settings(), told if told is not None else []
    ingress = Ingress(
        store, settings, metrics, known=lambda *key: True, ready=lambda *key: True,  # type: ignore[arg-type]
        full=lambda: calls.append("full"), suspect=lambda key: calls.append(f"suspect {key}"), gate=OPEN,
    )  # fmt: skip
    app: Any = web.app(ingress, metrics, lambda: True)  # type: ignore[arg-type]
    events = [{"specversion": "1.0", "id": f"e{n}", "source": "/s", "type": "t", **(extensions or {})} for n in range(count)]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        return await client.post(
            "/ns/b", content=body or json.dumps(events), headers={"content-type": "application/cloudevents-batch+json"}
        )


async def test_all_stored() -> None:
    store = Store()
    assert (await send(store, 3)).status_code == 202
    assert len(set(store.ids)) == 3


async def test_each_event_that_is_not_stored_is_named_and_the_rest_is_kept() -> None:
    store, told = Store(e1=errors.Unavailable("away"), e2=errors.Unavailable("away")), []  # type: ignore[var-annotated]
    answer = await send(store, 4, told)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"accepted": 2, "failed": [{"index": 1, "error": "away"}, {"index": 2, "error": "away"}]}
    assert (len(store.ids), told) == (2, ["suspect ns/b"])


async def test_a_full_stream_asks_for_room_and_for_patience() -> None:
    told: list[str] = []
    answer = await send(Store(e0=errors.Full("maximum bytes exceeded")), 1, told)
    assert (answer.status_code, answer.headers["retry-after"], told) == (503, "10", ["full"])


async def test_what_will_never_pass_outweighs_what_may() -> None:
    answer = await send(Store(e0=errors.Unavailable("away"), e1=errors.TooLarge("too large")), 2)
    assert (answer.status_code, "retry-after" in answer.headers) == (413, False)


async def test_a_large_batch_is_stored_a_part_at_a_time() -> None:
    class Slow(Store):
        inside = most = 0

        async def publish(self, *args: Any, id: str) -> Published:
            self.inside += 1
            self.most = max(self.most, self.inside)
            await anyio.sleep(0.01)
            self.inside -= 1
            return await super().publish(*args, id=id)

    store = Slow()
    assert (await send(store, 1000)).status_code == 202
    assert len(set(store.ids)) == 1000 and store.most <= Settings().batch_at_once


async def test_when_nats_is_gone_the_end_of_a_large_batch_does_not_wait_for_it() -> None:
    class Gone(Store):
        asked = 0

        async def publish(self, *args: Any, id: str) -> Published:
            self.asked += 1
            await anyio.sleep(5)
            raise errors.Unavailable("away")

    store = Gone()
    answer = await send(store, 1000)
    assert answer.status_code == 503 and len(answer.json()["failed"]) == 1000
    assert store.asked < 600


async def test_more_attributes_than_a_head_holds_are_refused() -> None:
    with_extensions = {f"x{n}": "v" for n in range(200)}
    answer = await send(Store(), 1, extensions=with_extensions)
    assert answer.status_code == 413 and "attributes" in answer.text


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'[{"specversion":"1.0","id":"d","source":"/s","type":"t","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}]"]
)
async def test_a_body_nested_too_deeply_is_refused(body: bytes) -> None:
    answer = await send(Store(), 1, body=body)
    assert answer.status_code == 400 and "too deeply" in answer.text


async def test_names_that_anybody_makes_up_leave_nothing_in_the_metrics() -> None:
    store, metrics = Store(), Metrics()
    ingress = Ingress(
        store, Settings(), metrics, known=lambda *key: key == ("ns", "b"), ready=lambda *key: True,  # type: ignore[arg-type]
        full=lambda: None, suspect=lambda key: None, gate=OPEN,
    )  # fmt: skip
    app: Any = web.app(ingress, metrics, lambda: True)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        for n in range(20):
            assert (await client.post(f"/nobody{n}/knows{n}", content=b"")).status_code == 404
        assert (await client.post("/ns/b", content=b"")).status_code == 400
    text = metrics.exposition().decode() if isinstance(metrics.exposition(), bytes) else str(metrics.exposition())
    assert "nobody" not in text and 'namespace="ns"' in text
