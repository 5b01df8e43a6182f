"""What else may break around a running platform: its nats-server, one hung instance, and another platform beside it."""

import json
import os
import signal
import uuid
from pathlib import Path

import anyio
import httpx
import pytest

from kfn.api import kinds
from kfn.kube import config
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport
from tests.e2e.harness import KFN, Platform, eventually, function, is_alive, run, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SINK = """
import os
import time
import kfn

@kfn.cloudevent
def handle(event):
    time.sleep(0.02)
    with open(os.environ["OUT"], "a") as out:
        out.write(event.id + "\\n")
"""
PID = "import os\n\ndef handle(request):\n    return str(os.getpid())\n"


async def test_kill_9_of_nats_server_in_the_middle_of_deliveries_loses_no_acknowledged_event(tmp_path: Path) -> None:
    out = tmp_path / "seen.txt"
    out.touch()
    acknowledged: set[str] = set()
    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "sink", SINK)), "-e", f"OUT={out}")
        url = (await platform.kfn("broker", "create", "default")).last_line
        await platform.kfn("trigger", "create", "t", "--broker", "default", "--sink", "ksvc:sink")
        killed = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(publish, url, acknowledged)
            for _ in range(2):
                await anyio.sleep(1.5)
                killed.append(facts(platform)["pids"]["nats-server"])
                os.kill(killed[-1], signal.SIGKILL)

                async def another() -> bool:
                    pid = facts(platform)["pids"]["nats-server"]
                    return pid not in killed and is_alive(pid)

                await eventually(another, 15, "platform.json names no new nats-server")
            before = len(acknowledged)

            async def goes_on() -> bool:
                return len(acknowledged) > before + 20

            await eventually(goes_on, 20, "nothing is acknowledged any more")
            tasks.cancel_scope.cancel()

        async def all_delivered() -> bool:
            return not acknowledged - set(out.read_text().split())

        await eventually(all_delivered, 60, "acknowledged events are missing")
        assert len(acknowledged) > 50
        assert facts(platform)["pid"] == platform.facts["pid"], "the platform itself went on"
        sent = (await platform.kfn("events", "publish", "--type", "t", "--source", "/t", "--data", "{}")).last_line

        async def arrived() -> bool:
            return sent in out.read_text().split()

        await eventually(arrived, 15, "an event after it all did not arrive")


async def test_a_hung_instance_is_taken_out_by_its_readiness_probe_and_the_other_serves(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "base", PID)))
        await watched(platform)
        host = f"watched.default.{platform.facts['domain']}"
        pids: set[int] = set()

        async def both() -> bool:
            answer = await platform.request(host)
            if answer.status_code == 200:
                pids.add(int(answer.text))
            return len(pids) == 2

        await eventually(both, 20, "two instances do not serve")
        hung, lives = sorted(pids)
        with anyio.fail_after(30):
            while await ready(platform) != 2:  # what it says comes up to half a second after an instance
                await anyio.sleep(0.1)
        os.kill(hung, signal.SIGSTOP)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(held, platform, host)  # at most these go to the hung one
                tasks.start_soon(held, platform, host)
                with anyio.fail_after(60):
                    while await ready(platform) != 1:
                        await anyio.sleep(0.2)
                tasks.cancel_scope.cancel()
            assert {int((await platform.request(host)).text) for _ in range(30)} == {lives}
        finally:
            os.kill(hung, signal.SIGCONT)


async def test_two_platforms_side_by_side_do_not_touch_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    async with running(tmp_path / "one") as one, running(tmp_path / "two") as two:
        for platform, text in ((one, "first"), (two, "second")):
            await platform.kfn("deploy", str(function(tmp_path / text / "same", f"def handle(request):\n    return '{text}'\n")))
        assert (await one.kfn("invoke", "same")).last_line == "first"
        assert (await two.kfn("invoke", "same")).last_line == "second"
        assert (await run(*KFN, "invoke", "same")).last_line == "second", "the one that was started last"
        os.kill(facts(one)["pids"]["nats-server"], signal.SIGKILL)
        before = facts(one)["pids"]["nats-server"]

        async def restarted() -> bool:
            return bool(facts(one)["pids"]["nats-server"] != before)

        await eventually(restarted, 15, "nats-server of the first platform is not started again")
        assert (await run(*KFN, "invoke", "same")).last_line == "second", "a restart inside the first makes it no newer"
        await two.kfn("delete", "same")
        assert (await one.kfn("invoke", "same")).last_line == "first"
        assert await two.stop() == 0
        assert (await run(*KFN, "invoke", "same")).last_line == "first", "the one that is left"


async def watched(platform: Platform) -> None:
    """Two instances of the image of `base`, looked at every second."""
    transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
    try:
        client = Client(transport)
        image = (await client.get(kinds.SERVICE, "base", "default")).spec.template.spec.containers[0].image
        probe = {"httpGet": {"path": "/health/readiness"}, "periodSeconds": 1, "failureThreshold": 2}
        template = {
            "metadata": {"annotations": {"autoscaling.knative.dev/min-scale": "2"}},
            "spec": {"containers": [{"image": image, "readinessProbe": probe}]},
        }
        service = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "watched"},
            "spec": {"template": template},
        }
        await client.create(kinds.SERVICE, service, "default")
    finally:
        await transport.aclose()


def facts(platform: Platform) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = json.loads((platform.data / "platform.json").read_text())
    return found


async def publish(url: str, acknowledged: set[str]) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=8) as http:
        while True:
            id_ = str(uuid.uuid4())
            headers = {"ce-specversion": "1.0", "ce-type": "com.example.t", "ce-source": "/faults", "ce-id": id_}
            try:
                answer = await http.post(url, headers=headers, content=b"{}")
            except httpx.HTTPError:
                continue
            if answer.status_code == 202:
                acknowledged.add(id_)
            await anyio.sleep(0.01)


async def held(platform: Platform, host: str) -> None:
    await platform.request(host)


async def ready(platform: Platform) -> int:
    out = await platform.kfn("revisions", "-s", "watched", "-o", "json")
    return int(json.loads(out.out)["items"][0]["status"].get("actualReplicas") or 0)
