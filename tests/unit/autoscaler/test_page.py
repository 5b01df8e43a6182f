"""What an admin port tells of the autoscaler's decisions."""

from typing import Any

import anyio
import httpx
from starlette.applications import Starlette

from autoscaler import page
from autoscaler.app import Autoscaler
from tests.unit.autoscaler.world import KEY, world


async def asked(scaler: Autoscaler | None, query: str) -> tuple[int, Any]:
    app = Starlette(routes=[page.decisions(lambda: scaler)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        answer = await client.get(f"/decisions{query}")
    return answer.status_code, answer.json()


class TestDecisions:
    async def test_of_a_revision_are_told_oldest_first_with_their_times_and_what_they_saw(self) -> None:
        async with world(replicas=0) as w:
            w.autoscaler.poke(KEY, 25)
            await anyio.sleep(10)
            status, told = await asked(w.autoscaler, "?revision=default/hello-00001")
        assert status == 200
        assert [one["decision"]["replicas"] for one in told] == [0, 3]
        assert told[0]["last"] <= told[1]["first"] <= told[1]["last"]
        assert told[0]["first"].endswith("+00:00")
        assert "waiting" in told[1]["seen"]

    async def test_of_what_is_not_known_there_are_none(self) -> None:
        async with world() as w:
            assert await asked(w.autoscaler, "?revision=default/nothing") == (200, [])

    async def test_are_not_told_without_a_name_and_its_namespace(self) -> None:
        for query in ("", "?revision=hello-00001"):
            assert await asked(None, query) == (400, {"error": "revision: expected NAMESPACE/NAME"})

    async def test_are_those_of_the_replica_that_leads(self) -> None:
        status, said = await asked(None, "?revision=default/hello-00001")
        assert (status, said["error"]) == (503, "this replica stands by; ask the one that leads")
