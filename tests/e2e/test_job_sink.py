"""A JobSink runs one Job for one event, as a process of this machine: by hand twice, and through a Broker's Trigger."""

import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from kfn.api import kinds
from kfn.api.base import decode
from kfn.api.eventing import Broker, Trigger
from kfn.api.jobsink import NAME_LABEL, JobSink
from kfn.kube import config
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport
from tests.e2e.harness import eventually, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

WORK = """
import json, os, sys
event = json.load(open(os.environ["K_EVENT_PATH"] + "/event"))
with open(sys.argv[1], "a") as out:
    out.write(event["id"] + ":" + os.environ["K_EXECUTION_MODE"] + "\\n")
sys.exit(event["data"]["exit"])
"""


def sink(out: Path) -> JobSink:
    container = {"name": "work", "image": "none", "command": [sys.executable, "-c", WORK, str(out)]}
    job = {"spec": {"backoffLimit": 0, "template": {"spec": {"containers": [container]}}}}
    body: dict[str, Any] = {"metadata": {"name": "work", "namespace": "default"}, "spec": {"job": job}}
    return decode(JobSink, body)


async def test_one_event_is_one_job_however_often_it_is_sent(tmp_path: Path) -> None:
    out = tmp_path / "seen.txt"

    def seen() -> list[str]:
        return sorted(out.read_text().split()) if out.exists() else []

    async with running(tmp_path / "data") as platform, httpx.AsyncClient(trust_env=False, timeout=60) as http:
        transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
        client = Client(transport)
        try:
            await client.create(kinds.JOB_SINK, sink(out), "default")

            async def ready() -> bool:
                found = await client.get(kinds.JOB_SINK, "work", "default")
                return any(one.type == "Ready" and one.status == "True" for one in found.status.conditions)

            await eventually(ready, 60, "the sink is not ready")
            address = (await client.get(kinds.JOB_SINK, "work", "default")).status.address
            assert address is not None and address.url == f"{platform.facts['events']}/jobsinks/default/work"

            async def send(id: str, exit: int, to: str = address.url) -> str:
                headers = {"ce-specversion": "1.0", "ce-id": id, "ce-source": "/t", "ce-type": "t", "content-type": "application/json"}
                answer = await http.post(to, headers=headers, content=json.dumps({"exit": exit}))
                assert answer.status_code == 202, answer.text
                return platform.facts["events"] + answer.headers.get("location", "")

            first = await send("one", 0)
            assert await send("one", 0) == first
            failing = await send("bad", 3)

            async def done() -> bool:
                return [(await http.get(one)).status_code for one in (first, failing)] == [200, 400]

            await eventually(done, 60, "the jobs are not over")
            assert (await http.get(failing)).json()["reason"] == "BackoffLimitExceeded"
            assert await send("one", 0) == first, "also after its end"
            assert seen() == ["bad:batch", "one:batch"]
            assert len((await client.list(kinds.JOB, "default", labels=f"{NAME_LABEL}=work"))[0]) == 2

            broker = {"metadata": {"name": "default", "namespace": "default"}}
            await client.create(kinds.BROKER, decode(Broker, broker), "default")
            ref = {"ref": {"apiVersion": "sinks.knative.dev/v1alpha1", "kind": "JobSink", "name": "work"}}
            trigger = {"metadata": {"name": "t", "namespace": "default"}, "spec": {"broker": "default", "subscriber": ref}}
            await client.create(kinds.TRIGGER, decode(Trigger, trigger), "default")

            async def listening() -> bool:
                found = await client.get(kinds.TRIGGER, "t", "default")
                return any(one.type == "Ready" and one.status == "True" for one in found.status.conditions)

            await eventually(listening, 60, "the trigger is not ready")
            await send("through", 0, f"{platform.facts['events']}/default/default")

            async def arrived() -> bool:
                return "through:batch" in seen()

            await eventually(arrived, 60, "the event through the Broker ran no Job")
            for one in (await client.list(kinds.JOB, "default", labels=f"{NAME_LABEL}=work"))[0]:
                await client.delete(kinds.JOB, one.metadata.name, "default")

            async def nothing() -> bool:
                return not (await client.list(kinds.SECRET, "default", labels=f"{NAME_LABEL}=work"))[0]

            await eventually(nothing, 60, "the events' Secrets stay behind their Jobs")
            assert (await http.get(first)).status_code == 404
            assert (await http.post(f"{platform.facts['events']}/jobsinks/default/nobody", content=b"")).status_code == 404
        finally:
            await transport.aclose()
