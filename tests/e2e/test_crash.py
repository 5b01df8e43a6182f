"""kill -9 of the whole platform at random moments, in the middle of deploys and deliveries: what was accepted is there after
the next start, what was acknowledged is delivered, and no process is left behind."""

import asyncio
import os
import random
import uuid
from contextlib import suppress
from pathlib import Path

import anyio
import httpx
import pytest

from kfn.api import core, kinds
from kfn.api.meta import ObjectMeta
from kfn.kube import config, errors
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport
from tests.e2e.harness import Platform, descendants, eventually, function, is_alive, running

pytestmark = [pytest.mark.e2e, pytest.mark.crash, pytest.mark.timeout(600)]

KILLS = int(os.environ.get("KFN_CRASHES", "20"))
SINK = """
import os
import kfn

@kfn.cloudevent
def handle(event):
    with open(os.environ["OUT"], "a") as out:
        out.write(event.id + "\\n")
"""


async def test_every_process_goes_with_the_platform(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "f", "def handle(request):\n    return 'ok'\n")))
        children = descendants(platform.facts["pid"])
        assert len(children) >= 3, "nats-server, a warm parent and an instance"
        await platform.kill()

        async def all_gone() -> bool:
            return not any(map(is_alive, children))

        await eventually(all_gone, 5, f"processes outlived the platform: {children}")


async def test_twenty_kills_lose_nothing_that_was_accepted(tmp_path: Path) -> None:
    rng = random.Random(20261121)
    out = tmp_path / "seen.txt"
    out.touch()
    acknowledged: set[str] = set()
    accepted: set[str] = set()
    platform = Platform(tmp_path / "data")
    await platform.start()
    try:
        await platform.kfn("deploy", str(function(tmp_path / "sink", SINK)), "-e", f"OUT={out}")
        url = (await platform.kfn("broker", "create", "default")).last_line
        await platform.kfn("trigger", "create", "t", "--broker", "default", "--sink", "ksvc:sink")
        for round_ in range(KILLS):
            url = f"{platform.facts['events']}/default/default"
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(publish, url, acknowledged)
                tasks.start_soon(create, platform, f"r{round_}", accepted)
                tasks.start_soon(redeploy, platform, tmp_path / f"f{round_}")
                await anyio.sleep(rng.uniform(0.05, 1.5))
                await platform.kill()
                tasks.cancel_scope.cancel()
            await platform.start()
        await nothing_lost(platform, accepted, acknowledged, out)
        assert len(acknowledged) > KILLS, "the publisher got something through between the kills"
        assert len(accepted) > KILLS
        assert (await platform.kfn("invoke", "sink", "-d", "{}", check=False)).code in (0, 22), "work goes on"
    finally:
        if platform.process is not None and platform.process.returncode is None:
            await platform.stop()


async def publish(url: str, acknowledged: set[str]) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
        while True:
            id_ = str(uuid.uuid4())
            headers = {"ce-specversion": "1.0", "ce-type": "com.example.t", "ce-source": "/crash", "ce-id": id_}
            with suppress(httpx.HTTPError):
                answer = await http.post(url, headers=headers, content=b"{}")
                if answer.status_code == 202:
                    acknowledged.add(id_)
            await asyncio.sleep(0.01)


async def create(platform: Platform, prefix: str, accepted: set[str]) -> None:
    transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
    client = Client(transport)
    try:
        n = 0
        while True:
            n += 1
            name = f"{prefix}-{n}"
            with suppress(errors.KubeError):
                await client.create(kinds.CONFIG_MAP, core.ConfigMap(metadata=ObjectMeta(name=name), data={"n": str(n)}), "default")
                accepted.add(name)
            await asyncio.sleep(0.01)
    finally:
        with anyio.CancelScope(shield=True):
            await transport.aclose()


async def redeploy(platform: Platform, folder: Path) -> None:
    """A deploy that the kill may hit anywhere; its own outcome does not matter here."""
    with suppress(AssertionError):
        await platform.kfn("deploy", str(function(folder, f"def handle(request):\n    return '{folder.name}'\n")), check=False, timeout=20)


async def nothing_lost(platform: Platform, accepted: set[str], acknowledged: set[str], out: Path) -> None:
    transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
    try:
        there = {c.metadata.name for c in (await Client(transport).list(kinds.CONFIG_MAP, "default"))[0]}
    finally:
        await transport.aclose()
    assert not accepted - there, "objects that were accepted are gone"

    async def all_delivered() -> bool:
        return not acknowledged - set(out.read_text().split())

    try:
        await eventually(all_delivered, 90, "events are missing")
    except AssertionError:
        missing = acknowledged - set(out.read_text().split())
        raise AssertionError(
            f"{len(missing)} of {len(acknowledged)} acknowledged events were not delivered\n{platform.log[-3000:]}"
        ) from None
