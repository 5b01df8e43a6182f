"""What /metrics says of one Trigger: how much waits, since when, how often was tried, and what died."""

import re
from pathlib import Path

import anyio
import pytest

from eventing import sweep
from kfn.api.meta import DeliverySpec
from tests.fakes.sink import Got, Say, sink
from tests.integration.eventing.stage import Stage, stage, until


def value(bus: Stage, name: str, more: str = "") -> float:
    labels = f'{more}broker="default",namespace="default",trigger="t"'
    found = re.search(rf"^{name}\{{{labels}\}} (\S+)$", bus.eventing.metrics.exposition().decode(), re.MULTILINE)
    return float(found[1]) if found else -1.0


async def test_lag_age_attempts_and_dead_letters_of_a_trigger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "PERIOD", 0.1)
    async with stage(tmp_path) as bus, sink() as subscriber:
        opened = anyio.Event()

        async def answer(got: Got) -> Say:
            if got.id == "held":
                await opened.wait()
            return Say(400 if got.id == "bad" else 204)

        subscriber.answer = answer
        await bus.broker(delivery=DeliverySpec(retry=0))
        await bus.trigger("t", subscriber.url)
        for id in ("held", "bad", "good"):
            await bus.publish_surely(id)
        await until(lambda: value(bus, "kfn_trigger_dead_letters") == 1, "the dead letter is counted")
        await until(lambda: value(bus, "kfn_trigger_lag") == 1, "one is in work")
        first = value(bus, "kfn_trigger_oldest_seconds")
        await until(lambda: value(bus, "kfn_trigger_oldest_seconds") > max(first, 1.0), "it grows older")
        opened.set()
        await until(lambda: value(bus, "kfn_trigger_oldest_seconds") == 0, "nothing waits")
        assert value(bus, "kfn_events_attempted_total", 'answer="2xx",') == 2
        assert value(bus, "kfn_events_attempted_total", 'answer="4xx",') == 1
