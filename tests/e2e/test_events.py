"""Events wake functions from zero, and their replies are events again."""

import asyncio
import json
from pathlib import Path

import httpx
import nats
import pytest

from kfn.busauth import nkey
from tests.e2e.harness import Platform, eventually, function, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SINK = """
import os
import kfn

@kfn.cloudevent
def handle(event):
    with open(os.environ["OUT"], "a") as out:
        out.write(event.id + "\\n")
    return event.reply("com.example.seen", {"id": event.id})
"""
YAML = """specVersion: 0.36.0
name: sink
runtime: python
created: 2026-01-01T00:00:00Z
deploy:
  annotations:
    autoscaling.knative.dev/window: 6s
    kfn.dev/nats-publish: default
"""


async def by_nats(platform: Platform, credentials: str) -> None:
    """What the function has been given opens its broker, and nothing else."""
    identity = nkey.from_credentials(credentials)
    assert f"# inbox: _INBOX_{identity.public[1:25]}\n" in credentials
    told: list[str] = []

    async def note(error: Exception) -> None:
        told.append(str(error))

    client = await nats.connect(
        json.loads((platform.data / "platform.json").read_text())["nats"], user_jwt_cb=lambda: identity.jwt.encode(),
        signature_cb=identity.sign, inbox_prefix=f"_INBOX_{identity.public[1:25]}", error_cb=note,
    )  # fmt: skip
    try:
        headers = {"ce-specversion": "1.0", "ce-id": "by-nats", "ce-source": "/f", "ce-type": "nobody.wants"}
        answer = await client.request("kfn.default.default.ev.x.-", b"", headers=headers, timeout=20)
        assert json.loads(answer.data)["stream"] == "KFN_default_default"
        await client.publish("$JS.API.STREAM.DELETE.KFN_default_default", b"")
        await client.flush()
        async with asyncio.timeout(30):
            while not any("permissions violation" in one for one in told):
                await asyncio.sleep(0.01)
    finally:
        await client.close()


async def test_an_event_wakes_a_function_and_its_reply_comes_out(tmp_path: Path) -> None:
    out = tmp_path / "seen.txt"
    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "sink", SINK, func__yaml=YAML)), "-e", f"OUT={out}")
        await platform.kfn("broker", "create", "default")
        await platform.kfn("trigger", "create", "t", "--broker", "default", "--filter", "type=com.example.order", "--sink", "ksvc:sink")
        await by_nats(platform, (await platform.kfn("nats", "creds", "sink")).out)
        await by_nats(platform, (await platform.kfn("nats", "creds", "--publish", "default", "--for", "10m")).out)
        await platform.at_zero("sink")
        args = ("events", "publish", "--type", "com.example.order", "--source", "/test", "--data", '{"n": 1}')
        first = (await platform.kfn(*args)).last_line
        await platform.kfn("events", "publish", "--type", "com.example.other", "--source", "/test", "--data", "{}")

        async def seen() -> bool:
            return out.exists() and out.read_text().split() == [first]

        await eventually(seen, 15, "the event did not arrive once")
        reply = await platform.kfn("events", "tail", "--filter", "type=com.example.seen", "--since", "1m", "--count", "1", timeout=20)
        event = json.loads(reply.out)
        assert event["data"] == {"id": first}
        assert event["type"] == "com.example.seen"


async def test_a_malformed_event_is_refused_with_the_attribute(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        url = (await platform.kfn("broker", "create", "default")).last_line
        async with httpx.AsyncClient(trust_env=False) as http:
            headers = {"ce-specversion": "1.0", "ce-type": "t", "ce-id": "1"}
            refused = await http.post(url, headers=headers, content=b"{}")
            assert refused.status_code == 400
            assert "source" in refused.text
            unknown = await http.post(url.rsplit("/", 1)[0] + "/nope", headers={**headers, "ce-source": "/s"}, content=b"{}")
            assert unknown.status_code == 404
        missing = await platform.kfn("events", "publish", "--type", "t", "--broker", "nope", "--data", "{}", check=False)
        assert missing.code == 1
        assert "no broker 'nope'" in missing.err
        not_json = await platform.kfn("events", "publish", "--type", "t", "--data", "{", check=False)
        assert not_json.code == 2
        assert "--data is not JSON" in not_json.err


async def test_dead_letters_are_seen_delivered_again_and_thrown_away_at_the_command_line(tmp_path: Path) -> None:
    """The subscriber refuses until a file says otherwise."""
    source = SINK.replace(
        "    with open", '    if not os.path.exists(os.environ["OUT"] + ".open"):\n        raise RuntimeError("not now")\n    with open'
    )
    out = tmp_path / "seen.txt"
    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "sink", source, func__yaml=YAML)), "-e", f"OUT={out}")
        await platform.kfn("broker", "create", "default")
        await platform.kfn("trigger", "create", "t", "--filter", "type=com.example.order", "--sink", "ksvc:sink", "--retry", "0")
        for id in ("one", "two"):
            await platform.kfn("events", "publish", "--type", "com.example.order", "--id", id, "--data", '{"n": 1}')

        async def died() -> bool:
            return len(json.loads((await platform.kfn("dlq", "ls", "-o", "json")).out)) == 2

        await eventually(died, 60, "the events did not die")
        table = (await platform.kfn("dlq", "ls", "--trigger", "t", "--since", "1h")).out
        assert "one" in table
        assert "ATTEMPTS" in table
        shown = (await platform.kfn("dlq", "show", "--id", "one")).out
        assert '"n": 1' in shown
        assert "Kfn-Trigger-Name" in shown
        assert (await platform.kfn("dlq", "replay", check=False)).code == 2, "nothing was named"
        Path(f"{out}.open").touch()
        assert "1 replayed" in (await platform.kfn("dlq", "replay", "--id", "one")).out

        async def seen() -> bool:
            return out.exists() and out.read_text().split() == ["one"]

        await eventually(seen, 60, "the event did not come again")
        asked = await platform.kfn("dlq", "purge", "--all", stdin=b"n\n", check=False)
        assert asked.code != 0
        assert "1 dead letter" in asked.err
        assert "1 purged" in (await platform.kfn("dlq", "purge", "--all", "--yes")).out
        assert "No dead letters" in (await platform.kfn("dlq", "ls")).err


async def test_a_trigger_is_paused_resumed_and_replayed_at_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "seen.txt"
    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "sink", SINK, func__yaml=YAML)), "-e", f"OUT={out}")
        await platform.kfn("broker", "create", "default")
        await platform.kfn("trigger", "create", "t", "--filter", "type=com.example.order", "--sink", "ksvc:sink")
        assert "until 20" in (await platform.kfn("trigger", "pause", "t", "--for", "1h")).err
        await platform.kfn("trigger", "pause", "t")
        assert "Paused" in (await platform.kfn("trigger", "list")).out
        await platform.kfn("events", "publish", "--type", "com.example.order", "--id", "one", "--data", "{}")

        def seen() -> list[str]:
            return out.read_text().split() if out.exists() else []

        async def once() -> bool:
            return seen() == ["one"]

        async def twice() -> bool:
            return seen() == ["one", "one"]

        assert seen() == []
        await platform.kfn("trigger", "resume", "t")
        await eventually(once, 60, "the event that waited did not come")
        assert (await platform.kfn("trigger", "replay", "t", check=False)).code == 2
        assert "delivered again" in (await platform.kfn("trigger", "replay", "t", "--since", "1h")).out
        await eventually(twice, 60, "the event did not come again")
