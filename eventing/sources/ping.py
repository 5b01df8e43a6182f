"""The PingSource reconciler: its sink's address, its conditions, and the clock that runs for it (`clockwork.py`)."""

import base64
import logging

import msgspec

from eventing import conditions
from eventing.conditions import false, true
from eventing.resolve import Resolver, Unresolved
from eventing.sources.clockwork import Clockwork, Shot
from kfn.api import kinds, schedule, sources
from kfn.api.base import encode
from kfn.api.defaults import EVERY_MINUTE
from kfn.api.meta import Condition
from kfn.clock import timestamp
from kfn.kube import errors as kube
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

log = logging.getLogger(__name__)


class Pings:
    def __init__(self, client: Client, informer: Informer[sources.PingSource], resolver: Resolver, clockwork: Clockwork) -> None:
        self._client, self._informer, self._resolver, self._clockwork = client, informer, resolver, clockwork

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        source = self._informer.get(namespace, name)
        if source is None or source.metadata.deletion_timestamp:
            await self._clockwork.stop(key)
            return Done()
        url, resolved = await self._sink(source)
        deployed = true("Deployed")
        try:
            when = schedule.parse(source.spec.schedule or EVERY_MINUTE, source.spec.timezone)
        except schedule.BadSchedule as error:  # the rules have changed since it was admitted, or the machine's time zones have
            deployed, url = false("Deployed", "InvalidSchedule", str(error)), ""
        if url:
            await self._clockwork.ensure(key, shot(source, url), when)
        else:
            await self._clockwork.stop(key)
        await self._report(source, url, [resolved, deployed])
        return Done() if url else Done(again_after=2.0)

    async def _sink(self, source: sources.PingSource) -> tuple[str, Condition]:
        try:
            return await self._resolver.url(source.spec.sink, source.metadata.namespace, "spec.sink"), true("SinkProvided")
        except Unresolved as error:
            return "", false("SinkProvided", error.reason, str(error))

    async def _report(self, source: sources.PingSource, url: str, found: list[Condition]) -> None:
        meta = source.metadata
        status = msgspec.structs.replace(
            source.status,
            observed_generation=meta.generation,
            conditions=conditions.merged(source.status.conditions, found, timestamp()),
            sink_uri=url,
            ce_attributes=[sources.CloudEventAttributes(sources.PING_TYPE, source_of(meta.namespace, meta.name))] if url else [],
        )
        if status == source.status:
            return
        patch = {"status": {"sinkUri": None, "ceAttributes": None, **encode(status)}}
        try:
            await self._client.patch(kinds.PING_SOURCE, meta.name, meta.namespace, patch, subresource="status")
        except kube.NotFound:
            log.debug("ping source %s/%s went away", meta.namespace, meta.name)


def source_of(namespace: str, name: str) -> str:
    """The `source` attribute of its events, as Knative writes it."""
    return f"/apis/v1/namespaces/{namespace}/pingsources/{name}"


def shot(source: sources.PingSource, url: str) -> Shot:
    """What is sent each time, and where to."""
    spec, meta = source.spec, source.metadata
    attributes = {"specversion": "1.0", "source": source_of(meta.namespace, meta.name), "type": sources.PING_TYPE}
    if spec.content_type:
        attributes["datacontenttype"] = spec.content_type
    if spec.ce_overrides is not None:
        attributes.update(spec.ce_overrides.extensions)
    data = base64.b64decode(spec.data_base64) if spec.data_base64 else spec.data.encode() if spec.data else None
    return Shot(meta.uid, url, attributes, data)
