"""PingSources on a whole bus: a real clock, real sockets, objects with conditions."""

from pathlib import Path

from kfn.api import kinds, sources
from kfn.api.meta import Destination, KReference, ObjectMeta
from kfn.api.sourced import CloudEventAttributes
from tests.fakes.sink import sink
from tests.integration.eventing.stage import Stage, set_up, stage, until

BROKER = KReference(api_version="eventing.knative.dev/v1", kind="Broker", name="default")


def put(bus: Stage, name: str, where: Destination, **spec: str) -> None:
    whole = sources.PingSourceSpec(sink=where, schedule="@every 1s", **spec)  # type: ignore[arg-type]
    bus.kube.put(kinds.PING_SOURCE, sources.PingSource(metadata=ObjectMeta(name=name, namespace="default"), spec=whole))


async def test_it_sends_to_a_url_what_its_spec_says(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as there:
        put(bus, "beat", Destination(uri=there.url), data='{"n": 1}', content_type="application/json")
        await until(lambda: len(there.got) >= 2, "two events came")
        event = there.got[0].event
        assert (event.type, event.source) == ("dev.knative.sources.ping", "/apis/v1/namespaces/default/pingsources/beat")
        assert (event.data, event.datacontenttype) == (b'{"n": 1}', "application/json")
        assert len(set(there.ids)) == len(there.ids), "each event has an id of its own"
        status = (await bus.ready(kinds.PING_SOURCE, "beat")).status
        assert status.sink_uri == there.url
        assert status.ce_attributes == [CloudEventAttributes(event.type, event.source)]


async def test_it_waits_for_its_sink_and_stops_with_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as there:
        put(bus, "beat", Destination(ref=BROKER), data="hello")
        refused = await bus.ready(kinds.PING_SOURCE, "beat", "False")
        assert next(c.reason for c in refused.status.conditions if c.type == "SinkProvided") == "NotFound"
        await bus.broker()
        await bus.trigger("t", there.url, type="dev.knative.sources.ping")
        await bus.ready(kinds.PING_SOURCE, "beat")
        await until(lambda: len(there.got) >= 1, "an event came through the broker")
        bus.kube.remove(kinds.PING_SOURCE, "beat")
        await until(lambda: not bus.eventing.pinging, "its clock has stopped")


async def test_two_that_fire_the_same_leave_one_event_in_a_broker(tmp_path: Path) -> None:
    """As at a change of leader."""
    async with set_up(tmp_path) as first, first.running():
        second = Stage(first.server, first.dir, first.kube, first.settings, first.http)
        async with second.running(), sink() as there:
            await first.broker()
            await first.trigger("t", there.url)
            put(first, "beat", Destination(ref=BROKER))
            await until(lambda: len(there.got) >= 3, "three events came")
            assert len(set(there.ids)) == len(there.ids)
