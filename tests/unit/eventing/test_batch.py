"""A batch is stored whole or answered with what is missing; what is stored of it is not stored twice."""

import json
from typing import Any

import httpx

from eventing import errors, web
from eventing.bus import Published
from eventing.ingress import Ingress
from eventing.metrics import Metrics
from eventing.settings import Settings


class Store:
    """The bus as the ingress sees it: fails for the ids in `away`."""

    def __init__(self, **away: errors.BusError) -> None:
        self.away, self.ids, self.is_up = away, [], True  # type: ignore[var-annotated]

    async def publish(self, stream: str, subject: str, headers: dict[str, str], payload: bytes, *, id: str) -> Published:
        if error := self.away.get(headers["ce-id"]):
            raise error
        self.ids.append(id)
        return Published(1, False)


async def send(store: Store, count: int, told: list[str] | None = None) -> httpx.Response:
    metrics, settings, calls = Metrics(), Settings(), told if told is not None else []
    ingress = Ingress(
        store, settings, metrics, known=lambda *key: True, ready=lambda *key: True,  # type: ignore[arg-type]
        full=lambda: calls.append("full"), suspect=lambda key: calls.append(f"suspect {key}"),
    )  # fmt: skip
    app: Any = web.app(ingress, store, settings, metrics, lambda: True)  # type: ignore[arg-type]
    body = json.dumps([{"specversion": "1.0", "id": f"e{n}", "source": "/s", "type": "t"} for n in range(count)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        return await client.post("/ns/b", content=body, headers={"content-type": "application/cloudevents-batch+json"})


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
