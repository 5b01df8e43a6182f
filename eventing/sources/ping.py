"""The PingSource reconciler: its sink's address, its conditions, and the clock that runs for it (`clockwork.py`)."""

import base64

from eventing.conditions import false, true
from eventing.resolve import Resolver
from eventing.sources.clockwork import Clockwork, Shot
from eventing.sources.report import report, sink
from kfn.api import kinds, schedule, sources
from kfn.api.defaults import EVERY_MINUTE
from kfn.api.sourced import CloudEventAttributes
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done


class Pings:
    def __init__(self, client: Client, informer: Informer[sources.PingSource], resolver: Resolver, clockwork: Clockwork) -> None:
        self._client, self._informer, self._resolver, self._clockwork = client, informer, resolver, clockwork

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        source = self._informer.get(namespace, name)
        if source is None or source.metadata.deletion_timestamp:
            await self._clockwork.stop(key)
            return Done()
        url, provided = await sink(self._resolver, source)
        deployed = true("Deployed")
        try:
            when = schedule.parse(source.spec.schedule or EVERY_MINUTE, source.spec.timezone)
        except schedule.BadSchedule as error:  # the rules have changed since it was admitted, or the machine's time zones have
            deployed, url = false("Deployed", "InvalidSchedule", str(error)), ""
        if url:
            await self._clockwork.ensure(key, shot(source, url), when)
        else:
            await self._clockwork.stop(key)
        attributes = [CloudEventAttributes(sources.PING_TYPE, source_of(namespace, name))] if url else []
        await report(self._client, kinds.PING_SOURCE, source, [provided, deployed], sink_uri=url, ce_attributes=attributes)
        return Done() if url else Done(again_after=2.0)


def source_of(namespace: str, name: str) -> str:
    """The `source` attribute of its events, as Knative writes it."""
    return f"/apis/v1/namespaces/{namespace}/pingsources/{name}"


def shot(source: sources.PingSource, url: str) -> Shot:
    """What is sent each time, and where to."""
    spec, meta = source.spec, source.metadata
    attributes = {"specversion": "1.0", "source": source_of(meta.namespace, meta.name), "type": sources.PING_TYPE}
    if spec.content_type:
        attributes["datacontenttype"] = spec.content_type
    attributes.update(spec.extensions)
    data = base64.b64decode(spec.data_base64) if spec.data_base64 else spec.data.encode() if spec.data else None
    return Shot(meta.uid, url, attributes, data)
