"""A Trigger that delivers again from a time or a sequence on, and one that waits. A real nats-server, real HTTP."""

import json
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio

from eventing import consumers, subjects
from eventing.pause import FOREVER
from kfn.api import kinds, names
from kfn.clock import utcnow
from tests.fakes.sink import Got, Say, sink
from tests.integration.eventing.stage import QUICK, Stage, set_up, stage, until

TOKEN = [("authorization", "Bearer open sesame")]
STREAM = "KFN_default_default"


async def rewind(bus: Stage, query: str, trigger: str = "t") -> tuple[int, Any]:
    answer = await bus.post(f"/default/default/triggers/{trigger}/replay?{query}", TOKEN, b"")
    return answer.status, json.loads(answer.body)


async def annotate(bus: Stage, value: str | None, trigger: str = "t") -> None:
    patch = {"metadata": {"annotations": {names.PAUSED: value}}}
    await bus.eventing._client.patch(kinds.TRIGGER, trigger, "default", patch)


def told(bus: Stage) -> str:
    """What the Trigger says of its pause."""
    return next((c.message for c in bus.kube.the(kinds.TRIGGER, "t").status.conditions if c.type == "Paused"), "")


async def settled(bus: Stage, trigger: str = "t") -> None:
    """All that was published is acknowledged."""
    name = subjects.consumer(bus.kube.the(kinds.TRIGGER, trigger).metadata.uid)
    with anyio.fail_after(40):
        while True:
            info = await bus.eventing._bus.consumer_info(STREAM, name)
            if not info["num_pending"] and not info["num_ack_pending"]:
                return
            await anyio.sleep(0.02)


class TestReplay:
    async def test_from_a_sequence_on_settled_events_are_delivered_again_to_that_trigger_alone(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber, sink() as other:
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            await bus.trigger("other", other.url)
            for n in range(1, 6):
                await bus.publish_surely(str(n))
            await subscriber.wait(5)
            await other.wait(5)
            await settled(bus)
            status, answer = await rewind(bus, "from=3")
            assert (status, answer["from"], answer["events"]) == (200, 3, 3)
            await subscriber.wait(8)
            assert sorted(subscriber.ids[5:]) == ["3", "4", "5"]
            await bus.publish_surely("6")
            await other.wait(6)
            assert len(other.got) == 6

    async def test_from_a_time_on(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            await bus.publish_surely("before")
            await subscriber.wait(1)
            since = utcnow().isoformat().replace("+00:00", "Z")
            await bus.publish_surely("after")
            await subscriber.wait(2)
            await settled(bus)
            assert (await rewind(bus, f"since={since}"))[0] == 200
            await subscriber.wait(3)
            await rewind(bus, "since=1h")
            await subscriber.wait(5)
            assert subscriber.ids[2:3] == ["after"]
            assert sorted(subscriber.ids[3:]) == ["after", "before"]

    async def test_what_is_not_settled_yet_is_never_passed_over(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            held = anyio.Event()

            async def hold(got: Got) -> Say:
                if got.id == "1":
                    await held.wait()
                return Say()

            subscriber.answer = hold
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            for n in range(1, 4):
                await bus.publish_surely(str(n))
            await subscriber.wait(3)
            status, answer = await rewind(bus, "from=4")
            assert (status, answer["from"], answer["asked"]) == (200, 1, 4)
            held.set()
            await settled(bus)
            assert (await rewind(bus, "from=9"))[0] == 400
            assert (await rewind(bus, ""))[0] == 400
            assert (await rewind(bus, "from=1", "nope"))[0] == 404

    async def test_what_is_replayed_and_fails_is_tried_again_though_it_was_settled_once(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            await bus.publish_surely("1")
            await subscriber.wait(1)
            await settled(bus)

            async def fails_once(got: Got) -> Say:
                return Say(503 if len(subscriber.got) == 2 else 204)

            subscriber.answer = fails_once
            await rewind(bus, "from=1")
            await subscriber.wait(3)
            await settled(bus)

    async def test_a_replay_survives_kill_9_of_nats_server(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            ids = [str(n) for n in range(30)]
            for id in ids:
                await bus.publish_surely(id)
            await subscriber.wait(30)
            await settled(bus)
            assert (await rewind(bus, "from=1"))[0] == 200
            os.kill(bus.server.pid, signal.SIGKILL)
            await until(lambda: set(subscriber.ids[30:]) >= set(ids), "all come again")


class TestTheConsumer:
    async def test_a_new_trigger_gets_nothing_that_was_published_before_it(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await bus.broker()
            for n in range(20):
                await bus.publish_surely(f"old{n}")
            await bus.trigger("t", subscriber.url)
            await bus.publish_surely("new")
            await subscriber.wait(1)
            await settled(bus)
            assert subscriber.ids == ["new"]

    async def test_one_whose_maker_died_in_the_middle_begins_at_the_end_all_the_same(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await bus.broker()
            await bus.publish_surely("old")
            await bus.trigger("t", subscriber.url)
            uid = bus.kube.the(kinds.TRIGGER, "t").metadata.uid
            name, broken = subjects.consumer(uid), bus.eventing._bus
            config = (await broken.consumer_info(STREAM, name))["config"]
            await broken.delete_consumer(STREAM, name)
            half = {**config, "pause_until": consumers.MAKING}
            await broken.api(f"CONSUMER.CREATE.{STREAM}.{name}", {"stream_name": STREAM, "config": half, "action": ""})
            await annotate(bus, "false")  # it is looked at
            with anyio.fail_after(40):
                while (await broken.consumer_info(STREAM, name)).get("paused"):
                    await anyio.sleep(0.05)
            await bus.publish_surely("new")
            await subscriber.wait(1)
            await settled(bus)
            assert subscriber.ids == ["new"]


class TestPause:
    async def test_events_wait_while_it_is_paused_and_none_is_lost_over_a_restart(self, tmp_path: Path) -> None:
        async with set_up(tmp_path, QUICK) as bus, sink() as subscriber:
            async with bus.running():
                await bus.broker()
                await bus.trigger("t", subscriber.url)
                await annotate(bus, "true")
                await until(lambda: "until it is resumed" in told(bus), "the status says so")
                await bus.publish_surely("1")
            async with bus.running():
                await bus.ready(kinds.TRIGGER, "t")
                await bus.publish_surely("2")
                await anyio.sleep(1)
                assert subscriber.got == []
                await annotate(bus, None)
                await subscriber.wait(2)
                assert sorted(subscriber.ids) == ["1", "2"]
                await until(lambda: not told(bus), "the status says so no more")

    async def test_a_pause_with_an_end_ends_by_itself(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            end = (utcnow() + timedelta(seconds=4)).strftime("%Y-%m-%dT%H:%M:%SZ")
            await annotate(bus, end)
            await until(lambda: end in told(bus), "the status says until when")
            await bus.publish_surely("1")
            await subscriber.wait(1)
            await until(lambda: not told(bus), "the status says so no more")

    async def test_what_is_in_work_when_it_is_paused_is_settled(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            held = anyio.Event()

            async def hold(got: Got) -> Say:
                await held.wait()
                return Say()

            subscriber.answer = hold
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            await bus.publish_surely("1")
            await subscriber.wait(1)
            await annotate(bus, "true")
            await until(lambda: bool(told(bus)), "paused")
            held.set()
            await settled(bus)
            assert subscriber.ids == ["1"]

    async def test_an_annotation_that_is_no_time_is_refused_and_events_wait(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as subscriber:
            await bus.broker()
            await bus.trigger("t", subscriber.url)
            await annotate(bus, "tomorrow")
            trigger = await bus.ready(kinds.TRIGGER, "t", "False")
            assert any("neither true nor false nor a time" in c.message for c in trigger.status.conditions)
            await bus.publish_surely("1")
            await annotate(bus, "false")
            await subscriber.wait(1)
            assert FOREVER not in told(bus)
