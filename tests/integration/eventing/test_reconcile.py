"""Brokers and Triggers as objects: conditions, addresses, order of creation, and what is left after deletion."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import nats.js.errors
import pytest

from kfn.api import eventing as api
from kfn.api import kinds
from kfn.api.meta import Condition, DeliverySpec, Destination, KReference, ObjectMeta
from kfn.api.serving import Service, ServiceStatus
from tests.fakes.sink import sink
from tests.integration.eventing.stage import QUICK, Stage, set_up, stage, until


async def deleted(bus: Stage, kind: Any, name: str) -> None:
    """Delete as an API server does: marked first, gone when the last finalizer is."""
    body = bus.kube.the(kind, name)
    meta = body.metadata
    assert meta.finalizers, "eventing holds it back until its things on the bus are gone"
    await bus.eventing._client.delete(kind, name, "default")
    await until(lambda: bus.kube.find(kind, name) is None, f"{name} is let go")


def condition(obj: Any, type: str) -> tuple[str, str]:
    return next((c.status, c.reason) for c in obj.status.conditions if c.type == type)


async def test_a_broker_gets_an_address_and_all_of_knatives_conditions(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus:
        await bus.broker()
        broker = bus.kube.the(kinds.BROKER, "default")
        assert broker.status.address is not None
        assert broker.status.address.url == f"http://127.0.0.1:{bus.eventing.port}/default/default"
        assert {c.type for c in broker.status.conditions if c.status == "True"} == {
            "Ready", "IngressReady", "TriggerChannelReady", "FilterReady", "Addressable", "DeadLetterSinkResolved", "EventPoliciesReady",
        }  # fmt: skip
        assert broker.status.observed_generation == broker.metadata.generation


async def test_a_broker_of_another_class_is_left_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        meta = ObjectMeta(name="other", namespace="default", annotations={"eventing.knative.dev/broker.class": "Kafka"})
        bus.kube.put(kinds.BROKER, api.Broker(metadata=meta))
        await bus.trigger("t", subscriber.url, broker="other", wait=False)
        await bus.broker()
        assert bus.kube.the(kinds.BROKER, "other").status.conditions == []
        assert bus.kube.the(kinds.TRIGGER, "t").status.conditions == []
        assert (await bus.publish("1", broker="other")).status == 404


async def test_a_trigger_made_before_its_broker_becomes_ready_with_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.trigger("t", subscriber.url, wait=False)
        trigger = await bus.ready(kinds.TRIGGER, "t", "False")
        assert condition(trigger, "BrokerReady") == ("False", "BrokerDoesNotExist")
        await bus.broker()
        trigger = await bus.ready(kinds.TRIGGER, "t")
        assert trigger.status.subscriber_uri == subscriber.url
        await bus.publish("1")
        await subscriber.wait(1)


async def test_a_function_is_found_by_its_address_and_events_wait_while_there_is_none(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.broker()
        ref = KReference(api_version="serving.knative.dev/v1", kind="Service", name="embed")
        trigger = api.TriggerSpec(broker="default", subscriber=Destination(ref=ref, uri="/in"))
        bus.kube.put(kinds.TRIGGER, api.Trigger(metadata=ObjectMeta(name="t", namespace="default"), spec=trigger))
        found = await bus.ready(kinds.TRIGGER, "t", "False")
        assert condition(found, "SubscriberResolved") == ("False", "NotFound")
        await bus.publish("early")
        bus.service("embed", subscriber.url)
        assert (await bus.ready(kinds.TRIGGER, "t")).status.subscriber_uri == f"{subscriber.url}/in"
        [got] = await subscriber.wait(1)
        assert (got.id, got.path) == ("early", "/in")


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ([{"cesql": "type = "}], "column 8: expected"),
        ([{"exact": {"Type": "x"}}], "not an attribute name"),
        ([{"exat": {}}], "unknown dialect"),
    ],
)
async def test_a_filter_that_cannot_be_applied_is_named_in_the_condition(tmp_path: Path, filters: Any, words: str) -> None:
    async with stage(tmp_path) as bus:
        await bus.broker()
        await bus.trigger("t", "http://127.0.0.1:1", wait=False, filters=filters)
        trigger = await bus.ready(kinds.TRIGGER, "t", "False")
        assert condition(trigger, "SubscriptionReady") == ("False", "InvalidFilter")
        assert any("spec.filters[0]" in c.message and words in c.message for c in trigger.status.conditions)


async def test_a_wrong_duration_is_named_in_the_condition(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus:
        await bus.broker()
        await bus.trigger("t", "http://127.0.0.1:1", delivery=DeliverySpec(backoff_delay="2 seconds"), wait=False)
        trigger = await bus.ready(kinds.TRIGGER, "t", "False")
        assert any("spec.delivery.backoffDelay" in c.message for c in trigger.status.conditions)


async def test_deletion_removes_consumer_and_streams(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        jetstream = bus.eventing._bus.client.jetstream()
        assert (await jetstream.stream_info("KFN_default_default")).state.consumer_count == 1
        await deleted(bus, kinds.TRIGGER, "t")
        assert (await jetstream.stream_info("KFN_default_default")).state.consumer_count == 0
        await deleted(bus, kinds.BROKER, "default")
        for name in ("KFN_default_default", "KFN_DLQ_default_default"):
            with pytest.raises(nats.js.errors.NotFoundError):
                await jetstream.stream_info(name)
        assert (await bus.publish("1")).status == 404


async def test_a_broker_made_again_starts_empty_and_its_triggers_go_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        await bus.publish("1")
        await subscriber.wait(1)
        await deleted(bus, kinds.BROKER, "default")
        await bus.ready(kinds.TRIGGER, "t", "False")
        await bus.broker()
        await bus.ready(kinds.TRIGGER, "t")
        await bus.publish("2")
        await subscriber.wait(2)
        assert subscriber.ids == ["1", "2"]


async def test_changed_limits_reach_the_streams_that_are_there(tmp_path: Path) -> None:
    async with set_up(tmp_path) as bus:
        async with bus.running():
            await bus.broker()
            await bus.publish("1")
        bus.settings = replace(QUICK, retention=3600, max_bytes=8 << 20)
        async with bus.running():
            info = await bus.eventing._bus.client.jetstream().stream_info("KFN_default_default")
            assert (info.config.max_age, info.config.max_bytes, info.state.messages) == (3600, 8 << 20, 1)


async def test_a_trigger_waits_for_what_it_depends_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.broker()
        needed = '{"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "needed"}'
        meta = ObjectMeta(name="t", namespace="default", annotations={"knative.dev/dependency": needed})
        bus.kube.put(
            kinds.TRIGGER, api.Trigger(metadata=meta, spec=api.TriggerSpec(broker="default", subscriber=Destination(uri=subscriber.url)))
        )
        assert condition(await bus.ready(kinds.TRIGGER, "t", "False"), "DependencyReady") == ("False", "DependencyDoesNotExist")
        await bus.publish("1")
        ready = Condition(type="Ready", status="True")
        bus.kube.put(
            kinds.SERVICE, Service(metadata=ObjectMeta(name="needed", namespace="default"), status=ServiceStatus(conditions=[ready]))
        )
        await bus.ready(kinds.TRIGGER, "t")
        await subscriber.wait(1)


async def test_the_consumer_of_a_trigger_that_was_torn_out_past_its_finalizer_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventing.sweep.PERIOD", 0.1)
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        bus.kube.remove(kinds.TRIGGER, "t")
        jetstream = bus.eventing._bus.client.jetstream()
        with anyio.fail_after(30):
            while (await jetstream.stream_info("KFN_default_default")).state.consumer_count:
                await anyio.sleep(0.05)
