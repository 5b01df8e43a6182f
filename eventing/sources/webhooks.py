"""The WebhookSource reconciler: its sink's address, its secret, its conditions, and the door that it opens (`hooks.py`).

Every replica of eventing opens all doors, for requests come to any of them; one writes the status.
"""

from eventing.conditions import false, true
from eventing.resolve import Resolver
from eventing.sources.hooks import Hooks
from eventing.sources.report import report, sink
from eventing.sources.secret import Unread, read
from eventing.sources.webhook import Door
from kfn.api import kinds
from kfn.api import webhooksource as api
from kfn.api.meta import Addressable, Condition
from kfn.api.sourced import CloudEventAttributes
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

SECRET_AGE = 30.0  # seconds; a secret that was changed counts after so long


class Webhooks:
    """`address` is eventing's own; without it nothing is written: another replica does."""

    def __init__(self, client: Client, informer: Informer[api.WebhookSource], resolver: Resolver, hooks: Hooks, address: str = "") -> None:
        self._client, self._informer, self._resolver, self._hooks, self._address = client, informer, resolver, hooks, address

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        source = self._informer.get(namespace, name)
        if source is None or source.metadata.deletion_timestamp:
            self._hooks.shut(key)
            return Done()
        url, provided = await sink(self._resolver, source)
        secret, secret_provided = await self._secret(source)
        self._hooks.open(key, door(source, url, secret) if url and secret else None)
        if self._address:
            await report(
                self._client, kinds.WEBHOOK_SOURCE, source, [provided, secret_provided],
                address=Addressable(url=f"{self._address}/webhooks/{key}"), sink_uri=url,
                ce_attributes=[CloudEventAttributes(source.spec.event_type or api.TYPE, api.source_of(source))] if url else [],
            )  # fmt: skip
        return Done(again_after=SECRET_AGE if url and secret else 2.0)

    async def _secret(self, source: api.WebhookSource) -> tuple[bytes, Condition]:
        wanted, meta = source.spec.secret, source.metadata
        try:
            found = await read(
                self._client, meta.namespace, wanted.name or api.SECRET, wanted.key or meta.name, "spec.secret", usual=api.SECRET
            )
        except Unread as error:
            return b"", false("SecretProvided", error.reason, str(error))
        return found, true("SecretProvided")


def door(source: api.WebhookSource, url: str, secret: bytes) -> Door:
    spec = source.spec
    return Door(
        url,
        secret,
        (spec.signature_header or api.SIGNATURE_HEADER).lower(),
        spec.event_type or api.TYPE,
        (spec.type_header or api.TYPE_HEADER).lower(),
        (spec.id_header or api.ID_HEADER).lower(),
        api.source_of(source),
        spec.extensions,
    )
