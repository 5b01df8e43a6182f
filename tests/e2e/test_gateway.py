"""`kfn gateway` beside a running platform: the same functions on another port, woken by it and scaled by what all gateways have."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.e2e.harness import KFN, Platform, eventually, function, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SLOW = "import time\n\ndef handle(request):\n    time.sleep(float(request.query.get('s', '0')))\n    return 'awake'\n"
ONE_AT_A_TIME = """specVersion: 0.36.0
name: f
runtime: python
created: 2026-01-01T00:00:00Z
deploy:
  annotations:
    autoscaling.knative.dev/window: 6s
  options:
    resources:
      limits:
        concurrency: 1
"""


async def test_it_wakes_a_function_and_the_autoscaler_scales_by_the_sum(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "f", SLOW, func__yaml=ONE_AT_A_TIME)))
        await platform.at_zero("f")
        gateway, url = await _gateway(platform, tmp_path)
        try:
            async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
                answer = await http.get(url, headers={"Host": "f.default.localhost"})
                assert (answer.status_code, answer.text) == (200, "awake")
                assert "server-timing" in answer.headers, "it was a cold start"
                asking = [
                    asyncio.create_task(http.get(f"{to}/?s=5", headers={"Host": "f.default.localhost"}))
                    for to in (url, platform.facts["gateway"])
                    for _ in range(2)
                ]

                async def four() -> bool:
                    seen = await _decisions(platform)
                    return any(record["decision"]["replicas"] >= 4 for record in seen)

                await eventually(four, 30, "two requests in each of two gateways, one fits into an instance, and there are not four")
                assert [(await one).status_code for one in asking] == [200] * 4
        finally:
            gateway.terminate()
            assert await gateway.wait() == 0


async def _decisions(platform: Platform) -> list[dict[str, Any]]:
    token = (platform.data / "token").read_text().strip()
    async with httpx.AsyncClient(base_url=platform.facts["admin"], trust_env=False, headers={"Authorization": f"Bearer {token}"}) as http:
        found: list[dict[str, Any]] = json.loads((await http.get("/decisions?revision=default/f-00001")).text)
        return found


async def _gateway(platform: Platform, tmp_path: Path) -> tuple[asyncio.subprocess.Process, str]:
    with (tmp_path / "gateway.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *KFN, "gateway", "--port", "0", "--admin-port", "0", stdout=asyncio.subprocess.PIPE, stderr=log,
            env={**os.environ, "KUBECONFIG": str(platform.data / "kubeconfig")},
        )  # fmt: skip
    assert process.stdout is not None
    with anyio.fail_after(60):
        line = (await process.stdout.readline()).decode()
    assert line.startswith("ready gateway="), (tmp_path / "gateway.log").read_text()
    return process, line.split()[1].partition("=")[2]
