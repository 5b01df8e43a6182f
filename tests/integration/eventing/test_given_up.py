"""A limit of deliveries that somebody set on a Trigger's consumer by hand is taken away, and no event is lost by it."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from eventing import subjects, sweep
from kfn.api import kinds
from kfn.api.meta import DeliverySpec
from tests.fakes.sink import Got, Say, sink
from tests.integration.eventing.stage import QUICK, Stage, set_up, stage, until

STREAM = "KFN_default_default"
OFTEN = DeliverySpec(retry=30, backoff_policy="linear", backoff_delay="PT0.05S")


async def config(bus: Stage) -> tuple[str, dict[str, Any]]:
    name = subjects.consumer(bus.kube.the(kinds.TRIGGER, "t").metadata.uid)
    return name, (await bus.eventing._bus.consumer_info(STREAM, name))["config"]


async def limit(bus: Stage, to: int) -> None:
    name, now = await config(bus)
    changed = {**now, "max_deliver": to}
    await bus.eventing._bus.api(f"CONSUMER.CREATE.{STREAM}.{name}", {"stream_name": STREAM, "config": changed, "action": ""})


async def put_right(bus: Stage) -> None:
    with anyio.fail_after(60):
        while (await config(bus))[1]["max_deliver"] != -1:
            await anyio.sleep(0.05)


class TestALimitSetByHand:
    @pytest.mark.parametrize("tried_before", [0, 6], ids=["before the first attempt", "when more attempts were made already"])
    async def test_is_taken_away_and_what_it_ended_is_delivered(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried_before: int
    ) -> None:
        monkeypatch.setattr(sweep, "PERIOD", 1.0)
        async with stage(tmp_path) as bus, sink() as subscriber:
            opened = False

            async def answer(got: Got) -> Say:
                return Say(204 if opened or got.id == "other" else 503)

            subscriber.answer = answer
            await bus.broker(delivery=OFTEN)
            await bus.trigger("t", subscriber.url)
            if tried_before:
                await bus.publish_surely("1")
                await subscriber.wait(tried_before)
            await limit(bus, 3)
            if not tried_before:
                await bus.publish_surely("1")
                await bus.publish_surely("other")
                await subscriber.wait(3)
            await put_right(bus)
            count = subscriber.ids.count("1")
            opened = True
            await until(lambda: subscriber.ids.count("1") > count, "the event comes again")

    async def test_what_the_server_gave_up_while_kfn_was_away_is_delivered(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sweep, "PERIOD", 0.5)
        async with set_up(tmp_path, QUICK) as bus, sink() as subscriber:

            async def refuse(got: Got) -> Say:
                return Say(503)

            async with bus.running():
                await bus.broker(delivery=OFTEN)
                await bus.trigger("t", subscriber.url)
                await until(
                    lambda: bus.eventing._leader is not None and bus.eventing._leader.sweep._given_up._epoch >= 0, "notices are kept"
                )
                monkeypatch.setattr(sweep, "PERIOD", 600.0)
                await anyio.sleep(1.2)
                subscriber.answer = refuse
                await limit(bus, 3)
                await bus.publish_surely("1")
                await subscriber.wait(3)
                subscriber.answer = subscriber._fine
                await bus.publish_surely("2")  # moves the floor past the one that was given up
                await until(lambda: "2" in subscriber.ids, "the next is delivered")
            monkeypatch.setattr(sweep, "PERIOD", 0.5)
            count = len(subscriber.got)
            async with bus.running():
                await until(lambda: "1" in subscriber.ids[count:], "the event comes again")
                await put_right(bus)
