"""Dead letters: shown, delivered again to their Trigger alone, thrown away, and never lost on the way. A real nats-server, real HTTP."""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio

from kfn.api import kinds
from kfn.api.meta import DeliverySpec
from tests.fakes.sink import Got, Say, Sink, sink
from tests.integration.eventing.stage import Stage, set_up, stage, until

ONCE = DeliverySpec(retry=0)
TOKEN = "Bearer open sesame"


async def ask(bus: Stage, path: str, method: str = "GET", token: str = TOKEN, header: str = "authorization") -> tuple[int, Any]:
    answer = await bus.post(f"/default/default/dead-letters{path}", [(header, token)] if token else [], b"", method)
    return answer.status, json.loads(answer.body)


async def died(bus: Stage, to: Sink, ids: Sequence[str], trigger: str = "t") -> None:
    """These events are dead letters of a Trigger whose subscriber refuses them."""

    async def refuse(got: Got) -> Say:
        return Say(400, body=b"I do not like it")

    to.answer = refuse
    await bus.broker(delivery=ONCE)
    await bus.trigger(trigger, to.url)
    for id in ids:
        await bus.publish_surely(id, subject="café")
    with anyio.fail_after(60):
        while len(await bus.dead_letters()) < len(ids):
            await anyio.sleep(0.05)
    to.answer = to._fine
    to.got.clear()


class TestLooking:
    async def test_a_list_tells_what_died_of_whom_how_often_it_was_tried_and_why(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await died(bus, subscriber, ["1", "2"])
            status, page = await ask(bus, "")
            assert status == 200
            assert [(one["id"], one["trigger"], one["type"], one["source"]) for one in page["items"]] == [
                ("1", "t", "test", "/test"), ("2", "t", "test", "/test"),
            ]  # fmt: skip
            first = page["items"][0]
            assert first["attempts"] == 1
            assert first["code"] == "400"
            assert "400" in first["reason"]
            assert first["time"].startswith("20")

    async def test_one_is_shown_with_its_headers_and_its_data(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await died(bus, subscriber, ["1"])
            _, page = await ask(bus, "")
            status, one = await ask(bus, f"/{page['items'][0]['sequence']}")
            assert status == 200
            assert one["event"]["data"] == {"n": 1}
            assert one["event"]["subject"] == "café"
            assert one["event"]["knativeerrorcode"] == "400"
            assert one["headers"]["Kfn-Trigger-Name"] == "t"
            assert (await ask(bus, "/4711"))[0] == 404

    async def test_pages_are_bounded_and_together_hold_each_once(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            ids = [str(n) for n in range(7)]
            await died(bus, subscriber, ids)
            found: list[str] = []
            after, until_ = 0, 0
            for _ in range(4):
                _, page = await ask(bus, f"?limit=2&after={after}&until={until_}")
                assert len(page["items"]) <= 2
                found += [one["id"] for one in page["items"]]
                after, until_ = page["after"], page["until"]
                if not after:
                    break
            assert sorted(found) == ids
            assert after == 0
            assert (await ask(bus, "?limit=501"))[0] == 400

    async def test_they_are_found_by_trigger_id_and_time(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await died(bus, subscriber, ["1", "2"])

            async def ids(query: str) -> list[str]:
                return [one["id"] for one in (await ask(bus, query))[1]["items"]]

            assert sorted(await ids("?trigger=t")) == ["1", "2"]
            assert await ids("?trigger=other") == []
            assert await ids("?id=2") == ["2"]
            assert sorted(await ids("?since=1h")) == ["1", "2"]
            assert await ids("?since=2100-01-01T00:00:00Z") == []

    async def test_nobody_sees_or_changes_anything_without_the_token(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await died(bus, subscriber, ["1"])
            for path, method in (("", "GET"), ("/1", "GET"), ("?all=true", "DELETE"), ("/replay?all=true", "POST")):
                assert (await ask(bus, path, method, ""))[0] == 401
                assert (await ask(bus, path, method, "Bearer wrong"))[0] == 401
            assert len(await bus.dead_letters()) == 1
            assert (await ask(bus, "", token="open sesame", header="kfn-token"))[0] == 200


class TestReplay:
    async def test_a_dead_letter_is_delivered_again_to_its_trigger_alone_and_is_gone_then(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber, sink() as other:
            await died(bus, subscriber, ["1"])
            await bus.trigger("other", other.url)
            status, page = await ask(bus, "/replay?all=true", "POST")
            assert (status, [one["id"] for one in page["items"]], page["failed"]) == (200, ["1"], [])
            await subscriber.wait(1)
            event = subscriber.got[0].event
            assert (event.id, event.data, event.attributes["subject"]) == ("1", b'{"n":1}', "café")
            assert not any(name.startswith("knativeerror") for name in event.attributes)
            assert await bus.dead_letters() == []
            await bus.publish_surely("after")
            await other.wait(1)
            assert other.ids == ["after"], "what was replayed is another Trigger's"

    async def test_one_that_dies_again_is_a_dead_letter_again(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await died(bus, subscriber, ["1"])

            async def refuse(got: Got) -> Say:
                return Say(400)

            subscriber.answer = refuse
            assert (await ask(bus, "/replay?id=1", "POST"))[0] == 200
            await subscriber.wait(1)
            with anyio.fail_after(40):
                while [one.id for one in await bus.dead_letters()] != ["1"]:
                    await anyio.sleep(0.05)

    async def test_the_dead_letter_of_a_trigger_that_is_gone_stays(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await died(bus, subscriber, ["1"])
            await bus.eventing._client.delete(kinds.TRIGGER, "t", "default")
            await until(lambda: not bus.kube.find(kinds.TRIGGER, "t"), "the trigger is gone")
            with anyio.fail_after(40):
                while not (page := (await ask(bus, "/replay?all=true", "POST"))[1])["failed"]:
                    await anyio.sleep(0.05)
            assert "no trigger 't' any more" in page["failed"][0]["error"]
            assert len(await bus.dead_letters()) == 1

    async def test_what_is_replayed_while_nats_is_killed_is_delivered_or_still_a_dead_letter(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            ids = [f"e{n}" for n in range(60)]
            await died(bus, subscriber, ids)

            async def killer() -> None:
                await until(lambda: len(subscriber.got) > 5, "some came")
                os.kill(bus.server.pid, signal.SIGKILL)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(killer)
                with anyio.fail_after(60):
                    while True:
                        status, page = await ask(bus, "/replay?all=true&limit=10", "POST")
                        if status == 200 and not page["after"] and not (await ask(bus, ""))[1].get("items", [1]):
                            break
                        await anyio.sleep(0.02)
            await until(lambda: set(subscriber.ids) >= set(ids), "each is delivered")

    async def test_what_was_replayed_survives_a_restart_before_it_is_delivered(self, tmp_path: Path) -> None:
        async with set_up(tmp_path) as bus, sink() as subscriber:
            async with bus.running():
                await died(bus, subscriber, ["1"])
                held = anyio.Event()

                async def hold(got: Got) -> Say:
                    await held.wait()
                    return Say()

                subscriber.answer = hold
                await ask(bus, "/replay?all=true", "POST")
                await subscriber.wait(1)
            held.set()
            async with bus.running():
                await subscriber.wait(2)
                assert subscriber.ids[-1] == "1"

    async def test_a_filter_that_would_not_let_it_through_any_more_does_not_swallow_it(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await died(bus, subscriber, ["1"])
            await bus.eventing._client.patch(kinds.TRIGGER, "t", "default", {"spec": {"filters": [{"suffix": {"type": ".never"}}]}})
            await bus.ready(kinds.TRIGGER, "t")
            await ask(bus, "/replay?all=true", "POST")
            await subscriber.wait(1)


class TestPurge:
    async def test_only_what_is_named_is_thrown_away(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await died(bus, subscriber, ["1", "2", "3"])
            assert (await ask(bus, "", "DELETE"))[0] == 400, "nothing was named"
            status, page = await ask(bus, "?id=2", "DELETE")
            assert (status, [one["id"] for one in page["items"]]) == (200, ["2"])
            assert sorted(one.id for one in await left(bus)) == ["1", "3"]
            await ask(bus, "?all=true", "DELETE")
            assert await left(bus) == []
            assert subscriber.got == []


async def left(bus: Stage) -> list[Any]:
    return [type("Left", (), {"id": one["id"]}) for one in (await ask(bus, ""))[1]["items"]]
