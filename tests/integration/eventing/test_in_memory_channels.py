"""InMemoryChannels, which tell their subscribers in their spec, on a real nats-server."""

from pathlib import Path

from kfn.api import kinds
from kfn.api import messaging as api
from kfn.api.meta import DeliverySpec, Destination, KReference, ObjectMeta
from tests.fakes.sink import Sink, sink
from tests.integration.eventing.stage import FAST, Stage, stage, until
from tests.integration.eventing.test_channels import answering, channel, to
from tests.integration.eventing.test_reconcile import deleted
from tests.integration.eventing.test_replicas import replicas

KIND = kinds.IN_MEMORY_CHANNEL
REF = KReference(api.API_VERSION, "InMemoryChannel", "pipe")


async def made(bus: Stage, *subscribers: api.SubscriberSpec, delivery: DeliverySpec | None = FAST) -> None:
    spec = api.InMemoryChannelSpec(list(subscribers), delivery)
    bus.kube.put(KIND, api.InMemoryChannel(metadata=ObjectMeta(name="pipe", namespace="default"), spec=spec))
    await bus.ready(KIND, "pipe")


async def subscribe(bus: Stage, name: str, subscriber: Sink) -> str:
    spec = api.SubscriptionSpec(REF, to(subscriber))
    bus.kube.put(kinds.SUBSCRIPTION, api.Subscription(metadata=ObjectMeta(name=name, namespace="default"), spec=spec))
    await bus.ready(kinds.SUBSCRIPTION, name)
    return str(bus.kube.the(kinds.SUBSCRIPTION, name).metadata.uid)


def ready(bus: Stage) -> dict[str, str]:
    return {one.uid: one.ready for one in bus.kube.the(KIND, "pipe").status.subscribers}


async def send(bus: Stage, id: str) -> None:
    await bus.publish_surely(id, broker="inmemorychannels/pipe")


class TestASubscription:
    async def test_stands_in_the_channels_spec_and_gets_the_events_of_no_channel_of_the_same_name(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as one, sink() as other:
            await bus.channel("pipe")
            await bus.subscription("other", "pipe", to(other))
            await made(bus)
            uid = await subscribe(bus, "one", one)
            await until(lambda: ready(bus) == {uid: "True"}, "the channel names it")
            pipe = bus.kube.the(KIND, "pipe")
            assert [(it.uid, it.name, it.subscriber_uri) for it in pipe.spec.subscribers] == [(uid, "one", one.url)]
            assert pipe.status.address.url.endswith("/default/inmemorychannels/pipe")
            await send(bus, "1")
            await one.wait(1)
            await bus.publish_surely("2", broker="channels/pipe")
            await other.wait(1)
            assert (one.ids, other.ids) == (["1"], ["2"])

    async def test_that_is_deleted_is_taken_out_and_gets_nothing_more(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as one, sink() as two:
            await made(bus)
            await subscribe(bus, "one", one)
            uid = await subscribe(bus, "two", two)
            await deleted(bus, kinds.SUBSCRIPTION, "one")
            await until(lambda: ready(bus) == {uid: "True"}, "one is left")
            await send(bus, "1")
            await two.wait(1)
            assert one.got == []
            assert [it.uid for it in bus.kube.the(KIND, "pipe").spec.subscribers] == [uid]
            await deleted(bus, KIND, "pipe")
            assert not [name for name in (await bus.eventing._bus.api("STREAM.NAMES"))["streams"] if "_IMC_" in name]


class TestASubscriberThatSomebodyElseEntered:
    async def test_gets_events_until_it_is_taken_out_and_its_answers_go_on(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as one, sink() as last:
            one.answer = answering("a-")
            await bus.channel("next")
            await bus.subscription("last", "next", to(last))
            await made(
                bus, api.SubscriberSpec("u-1", subscriber_uri=one.url, reply_uri=f"{bus.eventing.ingress_url}/default/channels/next")
            )
            await until(lambda: ready(bus) == {"u-1": "True"}, "it is said to be ready")
            await send(bus, "1")
            assert [got.id for got in await last.wait(1)] == ["a-1"]
            await bus.eventing._client.patch(KIND, "pipe", "default", {"spec": {"subscribers": None}})
            await until(lambda: len(bus.eventing._dispatchers.subscriptions()) == 1, "nobody delivers to it any more")
            await send(bus, "2")
            await until(lambda: ready(bus) == {}, "the channel names it no more")
            assert one.ids == ["1"]

    async def test_that_fails_ends_at_its_dead_letter_sink_and_one_without_an_address_says_so(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as dead:
            gone = api.SubscriberSpec(
                "u-1", subscriber_uri="http://127.0.0.1:9/", delivery=DeliverySpec(retry=0, dead_letter_sink=to(dead))
            )
            nowhere = DeliverySpec(dead_letter_sink=Destination(ref=channel("none").ref))
            await made(bus, gone, api.SubscriberSpec("u-2", subscriber_uri=dead.url, delivery=nowhere))
            await until(lambda: ready(bus) == {"u-1": "True", "u-2": "False"}, "one is ready")
            assert "there is no Channel default/none" in bus.kube.the(KIND, "pipe").status.subscribers[1].message
            await send(bus, "1")
            await dead.wait(1)

    async def test_is_delivered_to_by_all_replicas(self, tmp_path: Path) -> None:
        async with replicas(tmp_path) as (bus, (first, second)), sink() as one:
            await made(bus, api.SubscriberSpec("u-1", subscriber_uri=one.url))
            await until(lambda: len(second.eventing._dispatchers.subscriptions()) == 1, "the follower delivers, too")
            first.life.cancel()
            bus.eventing = second.eventing
            await send(bus, "1")
            await one.wait(1)
