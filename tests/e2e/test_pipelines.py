"""Runs of a Pipeline through a whole platform: kill -9 of it and of its nats-server while fifty are under way, and a new version of
the function that they call."""

import json
import os
import random
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from kfn import http1
from kfn.api import kinds
from kfn.api.meta import ObjectMeta
from kfn.api.pipeline import Join, Pipeline, PipelineSpec, PipelineStep
from kfn.kube import config
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport
from tests.e2e.harness import Platform, eventually, function

pytestmark = [pytest.mark.e2e, pytest.mark.crash, pytest.mark.timeout(400)]

RUNS = 50
WORK = """
import os
import time

def handle(request):
    step, given = request.headers["ce-kfnstep"], request.json()
    if step == "split":
        while given < 0 and not os.path.exists(os.environ["GO"]):
            time.sleep(0.05)
        return [given * 10 + i for i in range(8)]
    if step == "square":
        time.sleep(0.02)
        return given * given
    return {"sum": sum(given), "version": "VERSION"}
"""
STEPS = {
    "split": PipelineStep(fn="work"),
    "square": PipelineStep(fn="work", map="split", max_in_flight=4),
    "add": PipelineStep(fn="work", needs="square", join=Join(mode="all")),
}


def wanted(n: int) -> int:
    return sum((n * 10 + i) ** 2 for i in range(8))


async def test_kill_9_of_everything_while_fifty_runs_are_under_way_loses_and_doubles_none(tmp_path: Path) -> None:
    rng = random.Random(20261122)
    go = tmp_path / "go"
    platform = Platform(tmp_path / "data")
    await platform.start()
    try:
        await deployed(platform, tmp_path, "one", go)
        await made(platform)
        accepted: dict[int, str] = {}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start_all, platform, accepted)
            await eventually_so(lambda: len(accepted) > 5, "no run is accepted")
            for what in ("nats", "platform", "nats"):
                await anyio.sleep(rng.uniform(0.1, 0.6))
                if what == "platform":
                    await platform.kill()
                    await platform.start()
                else:
                    with suppress(ProcessLookupError):
                        os.kill(nats(platform), signal.SIGKILL)
        await all_ended(platform, accepted)
        held = await begin(platform, -1)
        await deployed(platform, tmp_path, "two", go)
        go.touch()
        told = await ended(platform, held)
        assert (told["output"]["version"], told["steps"]["add"]["version"]) == ("one", "work-00001"), "it keeps to what it began with"
        answer = await called(platform, "", 1)
        assert answer is not None and json.loads(answer.body) == {"sum": wanted(1), "version": "two"}
    finally:
        if platform.process is not None and platform.process.returncode is None:
            await platform.stop()


async def deployed(platform: Platform, folder: Path, version: str, go: Path) -> None:
    await platform.kfn("deploy", str(function(folder / "work", WORK.replace("VERSION", version))), "-e", f"GO={go}")


async def made(platform: Platform) -> None:
    transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
    client = Client(transport)
    try:
        spec = PipelineSpec(steps=STEPS, timeout="5m")
        await client.create(kinds.PIPELINE, Pipeline(metadata=ObjectMeta(name="p", namespace="default"), spec=spec), "default")

        async def ready() -> bool:
            found = await client.get(kinds.PIPELINE, "p", "default")
            return any(c.type == "Ready" and c.status == "True" for c in found.status.conditions)

        await eventually(ready, 30, "the pipeline is not ready")
    finally:
        await transport.aclose()


async def start_all(platform: Platform, accepted: dict[int, str]) -> None:
    """As a careful caller does: the same event again until its run is accepted."""
    for n in range(RUNS):
        accepted[n] = await begin(platform, n)
        await anyio.sleep(0.02)


async def begin(platform: Platform, n: int) -> str:
    event = {"ce-specversion": "1.0", "ce-type": "begin", "ce-source": "/e2e", "ce-id": f"n{n}", "prefer": "respond-async"}
    with anyio.fail_after(120):
        while (answer := await called(platform, "", n, event)) is None or answer.status != 202:
            await anyio.sleep(0.1)
    return str(json.loads(answer.body)["run"])


async def called(platform: Platform, path: str, n: int | None = None, headers: Mapping[str, str] | None = None) -> http1.Response | None:
    """POST with a number, else GET; None where nothing answers."""
    client = http1.Client()
    token = (platform.data / "token").read_text().strip()
    sent = [("authorization", f"Bearer {token}"), ("content-type", "application/json"), *(headers or {}).items()]
    method, body = ("GET", b"") if n is None else ("POST", str(n).encode())
    try:
        return await client.request(method, f"{platform.facts['events']}/default/pipelines/p{path}", headers=sent, body=body, timeout=60)
    except http1.HttpError:
        return None
    finally:
        await client.aclose()


async def asked(platform: Platform, path: str) -> Any:
    answer = await called(platform, f"/runs{path}")
    return json.loads(answer.body) if answer is not None and answer.status == 200 else {}


async def ended(platform: Platform, id: str) -> Any:
    with anyio.fail_after(240):
        while (told := await asked(platform, f"/{id}")).get("status", "running") == "running":
            await anyio.sleep(0.5)
    return told


async def all_ended(platform: Platform, accepted: dict[int, str]) -> None:
    assert len(set(accepted.values())) == RUNS
    for n, id in accepted.items():
        told = await ended(platform, id)
        assert (told["status"], told.get("output")) == ("succeeded", {"sum": wanted(n), "version": "one"}), told
        assert told["steps"]["square"]["items"] == {"total": 8, "done": 8, "failed": 0}
    listed = (await asked(platform, "?limit=500"))["runs"]
    assert sorted(one["id"] for one in listed) == sorted(accepted.values()), "each event has started one run"


async def eventually_so(check: Any, what: str) -> None:
    async def so() -> bool:
        return bool(check())

    await eventually(so, 60, what)


def nats(platform: Platform) -> int:
    return int(json.loads((platform.data / "platform.json").read_text())["pids"]["nats-server"])
