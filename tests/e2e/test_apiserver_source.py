"""Changes of objects become events in a function, through a Broker, over a kill of the whole platform."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kfn.api import kinds
from kfn.api.base import decode
from kfn.api.core import ConfigMap
from kfn.api.eventing import Broker, Trigger
from kfn.api.meta import ObjectMeta
from kfn.kube import config
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport
from tests.e2e.harness import Platform, eventually, function, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SINK = """
import os
import kfn

@kfn.cloudevent
def handle(event):
    with open(os.environ["OUT"], "a") as out:
        out.write(event.type.rpartition(".")[2] + ":" + event.extensions["name"] + "\\n")
"""
SUBSCRIBER = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "sink"}}


@asynccontextmanager
async def client(platform: Platform) -> AsyncIterator[Client]:
    transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
    try:
        yield Client(transport)
    finally:
        await transport.aclose()


def named(name: str, **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, **rest}


def config_map(name: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"))


async def test_add_update_and_delete_arrive_in_a_function_and_a_killed_platform_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "seen.txt"

    async def arrived(*wanted: str) -> None:
        async def is_so() -> bool:
            return out.exists() and set(wanted) <= set(out.read_text().split())

        await eventually(is_so, 120, f"{wanted} did not arrive")

    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "sink", SINK)), "-e", f"OUT={out}")
        async with client(platform) as api:
            await api.create(kinds.BROKER, decode(Broker, named("default")), "default")
            await api.create(kinds.TRIGGER, decode(Trigger, named("t", spec={"broker": "default", "subscriber": SUBSCRIBER})), "default")

            async def ready() -> bool:
                found = await api.get(kinds.TRIGGER, "t", "default")
                return any(one.type == "Ready" and one.status == "True" for one in found.status.conditions)

            await eventually(ready, 60, "the trigger is not ready")
            await platform.kfn("source", "apiserver", "create", "maps", "--resource", "ConfigMap:v1", "--sink", "broker:default")
            await api.create(kinds.CONFIG_MAP, config_map("one"), "default")
            await api.patch(kinds.CONFIG_MAP, "one", "default", {"data": {"v": "2"}})
            await api.delete(kinds.CONFIG_MAP, "one", "default")
            await arrived("add:one", "update:one", "delete:one")
        shown = json.loads((await platform.kfn("source", "apiserver", "describe", "maps", "-o", "json")).out)
        assert {one["type"]: one["status"] for one in shown["status"]["conditions"]} == dict.fromkeys(
            ("Ready", "SinkProvided", "Deployed", "SufficientPermissions"), "True"
        )
        assert shown["status"]["ceAttributes"][0]["type"] == "dev.knative.apiserver.ref.add"
        await platform.kill()
        await platform.start()
        async with client(platform) as api:
            await api.create(kinds.CONFIG_MAP, config_map("later"), "default")
            await arrived("add:later")
