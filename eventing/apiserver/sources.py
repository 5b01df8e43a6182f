"""The ApiServerSource reconciler: where its events go, what it watches, whether its service account may, and what runs for it."""

from typing import Protocol

from eventing.apiserver import access, config
from eventing.apiserver.config import Config
from eventing.conditions import unknown
from eventing.resolve import Resolver
from eventing.sources.report import report, sink
from kfn.api import kinds, selector
from kfn.api.apiserversource import VERBS, ApiServerSource, type_of
from kfn.api.meta import Condition
from kfn.api.sourced import CloudEventAttributes
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.kube.reconcile import Done

VALUE = "eventing.apiServerSources.enabled"  # of the chart
SOON = 2.0  # seconds until the next look at one that is not ready
LATER = 30.0  # at one that is: rights may be taken away, and namespaces may get other labels


class Runner(Protocol):
    """Runs adapters: in this process (`inside.py`), or in pods (`pods.py`)."""

    async def ensure(self, source: ApiServerSource, config: Config, url: str) -> Condition: ...
    async def stop(self, key: str) -> None: ...


class ApiServerSources:
    """`at` is the API server's URL, as the events' source tells it."""

    def __init__(self, client: Client, informer: Informer[ApiServerSource], resolver: Resolver, runner: Runner, at: str) -> None:
        self._client, self._informer, self._resolver, self._runner, self._at = client, informer, resolver, runner, at

    async def reconcile(self, key: str) -> Done:
        namespace, _, name = key.partition("/")
        source = self._informer.get(namespace, name)
        if source is None or source.metadata.deletion_timestamp:
            await self._runner.stop(key)
            return Done()
        url, provided = await sink(self._resolver, source)
        names, permitted = await self._namespaces(source)
        deployed = unknown("Deployed", "NotYet", "nothing runs before sink and permissions are there")
        if permitted is None:
            wanted = config.of(source, self._at, names)
            permitted = await access.check(self._client, wanted, config.account(source), VALUE)
            if url and permitted.status == "True":
                deployed = await self._runner.ensure(source, wanted, url)
        types = [CloudEventAttributes(type_of(source.spec.mode, verb), self._at) for verb in VERBS] if url else []
        conditions = [provided, permitted, deployed]
        await report(
            self._client, kinds.API_SERVER_SOURCE, source, conditions, sink_uri=url, ce_attributes=types, namespaces=list(names or ())
        )
        return Done(again_after=LATER if all(one.status == "True" for one in conditions) else SOON)

    async def _namespaces(self, source: ApiServerSource) -> tuple[tuple[str, ...] | None, Condition | None]:
        """Where it watches, None for everywhere; and a condition if that cannot be found out."""
        chosen = source.spec.namespace_selector
        if chosen is None:
            return (source.metadata.namespace,), None
        labels = selector.text(chosen)
        if not labels:
            return None, None
        try:
            found = (await self._client.list(kinds.NAMESPACE, labels=labels))[0]
        except errors.Forbidden:
            why = f"spec.namespaceSelector: eventing may not list namespaces; set the chart's value {VALUE}=true"
            return (), unknown(access.CONDITION, "Forbidden", why)
        return tuple(sorted(one.metadata.name for one in found)), None
