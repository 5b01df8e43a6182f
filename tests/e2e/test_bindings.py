"""Workloads that are told where to send events: a function by a SinkBinding, a program by a ContainerSource, and both really send."""

import json
import sys
from pathlib import Path

import pytest

from tests.e2e.harness import Platform, eventually, function, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SEND = """
import json, os, urllib.request

def send(type):
    extra = json.loads(os.environ["K_CE_OVERRIDES"] or "{}").get("extensions", {})
    headers = {"ce-specversion": "1.0", "ce-type": type, "ce-source": "/test", "ce-id": type, **{f"ce-{k}": v for k, v in extra.items()}}
    request = urllib.request.Request(os.environ["K_SINK"], b"{}", {"content-type": "application/json", **headers})
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20).status
"""
FUNCTION = f"{SEND}\ndef handle(request):\n    return str(send('of.function')) if os.environ.get('K_SINK') else 'no sink'\n"
PROGRAM = f"{SEND}\nimport time\nsend('of.program')\ntime.sleep(3600)\n"


async def came(platform: Platform, type: str) -> dict[str, str]:
    tail = await platform.kfn("events", "tail", "--filter", f"type={type}", "--since", "5m", "--count", "1", timeout=60)
    found: dict[str, str] = json.loads(tail.out)
    return found


async def test_a_function_and_a_program_send_events_to_the_sink_they_are_told(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        await platform.kfn("broker", "create", "default")
        url = (await platform.kfn("deploy", str(function(tmp_path / "shop", FUNCTION)))).last_line
        host = url.removeprefix("http://").partition(":")[0]
        assert (await platform.request(host)).text == "no sink"

        made = ("source", "binding", "create", "b", "--subject", "ksvc:shop", "--sink", "broker:default", "--ce-override", "team=a")
        await platform.kfn(*made)
        await shop_says(platform, host, "202")
        assert (await came(platform, "of.function"))["team"] == "a"
        described = (await platform.kfn("source", "binding", "describe", "b")).out
        assert "Service:serving.knative.dev/v1:shop" in described
        assert "team=a" in described
        await platform.kfn("source", "binding", "delete", "b")
        await shop_says(platform, host, "no sink")

        run = ("--cmd", sys.executable, "--cmd", "-c", "--cmd", PROGRAM)
        await platform.kfn("source", "container", "create", "c", "--image", "any", "--sink", "broker:default", *run)
        await came(platform, "of.program")
        refused = await platform.kfn(
            "source", "container", "create", "d", "--image", "example.com/any:1", "--sink", "broker:default", check=False
        )
        assert "The embedded platform runs images that `kfn build` or `kfn deploy` made" in refused.out + refused.err
        await platform.kfn("source", "container", "delete", "c", "d")


async def shop_says(platform: Platform, host: str, text: str) -> None:
    async def is_so() -> bool:
        return (await platform.request(host)).text == text

    await eventually(is_so, 60, f"the function does not answer {text!r}")
