"""The admin port: open to health checks, to everything else only with the platform's token."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.harness import eventually, function, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def test_it_asks_for_the_token_and_tells_what_every_part_did(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "f", "def handle(request):\n    return 'ok'\n")))
        await platform.request("f.default.localhost")
        token = (platform.data / "token").read_text().strip()
        async with httpx.AsyncClient(base_url=platform.facts["admin"], trust_env=False) as http:
            assert (await http.get("/healthz")).status_code == 200
            assert (await http.get("/readyz")).status_code == 200
            for path in ("/metrics", "/cold-starts", "/decisions?revision=default/f-00001", "/nothing"):
                assert (await http.get(path)).status_code == 401
                assert (await http.get(path, headers={"Authorization": f"Bearer {token}x"})).status_code == 401
            http.headers["Authorization"] = f"Bearer {token}"
            numbers = (await http.get("/metrics")).text
            assert 'kfn_gateway_requests_total{namespace_name="default",revision_name="f-00001",code="200"} 1\n' in numbers
            assert "process_resident_memory_bytes" in numbers
            assert "kfn_events_accepted" in numbers
            decisions: list[dict[str, Any]] = []

            async def decided() -> bool:
                decisions[:] = (await http.get("/decisions?revision=default/f-00001")).json()
                return bool(decisions)

            await eventually(decided, 10, "the autoscaler has decided nothing")
            assert (await http.get("/decisions")).status_code == 400
        described = (await platform.kfn("describe", "f")).out
        assert "Scaling:" in described
        assert "BECAUSE" in described
