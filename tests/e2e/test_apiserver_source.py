"""Changes of objects become events in a function, through a Broker: at the command line, over a kill of the whole platform."""

import json
from pathlib import Path

import pytest

from kfn.api import kinds
from kfn.api.core import ConfigMap
from kfn.api.meta import ObjectMeta
from kfn.kube import config
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport
from tests.e2e.harness import Platform, eventually, function, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SINK = """
import os
import kfn

@kfn.cloudevent
def handle(event):
    with open(os.environ["OUT"], "a") as out:
        out.write(event.type.rpartition(".")[2] + ":" + event.extensions["name"] + "\\n")
"""


async def write(platform: Platform, name: str, *, value: str = "1", remove: bool = False) -> None:
    transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
    try:
        client = Client(transport)
        if remove:
            await client.delete(kinds.CONFIG_MAP, name, "default")
        elif value != "1":
            await client.patch(kinds.CONFIG_MAP, name, "default", {"data": {"v": value}})
        else:
            await client.create(
                kinds.CONFIG_MAP, ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data={"v": value}), "default"
            )
    finally:
        await transport.aclose()


async def test_add_update_and_delete_arrive_in_a_function_and_a_killed_platform_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "seen.txt"

    def seen() -> list[str]:
        return out.read_text().split() if out.exists() else []

    async def arrived(*wanted: str) -> None:
        async def is_so() -> bool:
            return set(wanted) <= set(seen())

        await eventually(is_so, 60, f"{wanted} did not arrive")

    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "sink", SINK)), "-e", f"OUT={out}")
        await platform.kfn("broker", "create", "default")
        await platform.kfn("trigger", "create", "t", "--broker", "default", "--sink", "ksvc:sink")
        create = ("source", "apiserver", "create", "maps", "--resource")
        wrong = await platform.kfn(*create, "ConfigMap", "--sink", "broker:default", check=False)
        assert (wrong.code, "is not KIND:VERSION" in wrong.err) == (2, True)
        await platform.kfn(*create, "ConfigMap:v1", "--sink", "broker:default", "--ce-override", "team=shop")
        await write(platform, "one")
        await write(platform, "one", value="2")
        await write(platform, "one", remove=True)
        await arrived("add:one", "update:one", "delete:one")
        shown = json.loads((await platform.kfn("source", "apiserver", "describe", "maps", "-o", "json")).out)
        assert {one["type"]: one["status"] for one in shown["status"]["conditions"]} == dict.fromkeys(
            ("Ready", "SinkProvided", "Deployed", "SufficientPermissions"), "True"
        )
        assert shown["status"]["ceAttributes"][0]["type"] == "dev.knative.apiserver.ref.add"
        assert "ConfigMap:v1" in (await platform.kfn("source", "apiserver", "list")).out
        await write(platform, "kept")
        await arrived("add:kept")
        await platform.kill()
        await platform.start()
        await write(platform, "later")
        await arrived("add:later")
        await platform.kfn("source", "apiserver", "delete", "maps")
