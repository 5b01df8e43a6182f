"""Adapters in pods, one Deployment a source (`manifest.py`), which goes with the source because it owns it."""

from eventing.apiserver import manifest
from eventing.apiserver.config import Config
from eventing.apiserver.manifest import HASH, Pods
from eventing.conditions import false
from kfn.api import kinds
from kfn.api.apiserversource import ApiServerSource
from kfn.api.meta import Condition
from kfn.kube import client as kube
from kfn.kube import errors
from kfn.kube.client import Client

MANAGER = "kfn-eventing"
FIX = "let the service account of kfn-eventing make Deployments: set the chart's value eventing.apiServerSources.enabled=true"


class AdapterPods:
    def __init__(self, client: Client, pods: Pods) -> None:
        self._client, self._pods = client, pods

    async def ensure(self, source: ApiServerSource, config: Config, url: str) -> Condition:
        """The Deployment as it should be; the condition Deployed."""
        if not self._pods.image:
            return false("Deployed", "NoImage", "kfn eventing was started without --adapter-image; " + FIX)
        wanted = manifest.deployment(self._pods, source, config, url)
        name, namespace = wanted["metadata"]["name"], source.metadata.namespace
        try:
            try:
                found = await self._client.get(kinds.DEPLOYMENT, name, namespace)
            except errors.NotFound:
                found = None
            if found is not None and not manifest.is_ours(found, source):
                return false("Deployed", "NotOwned", f"Deployment {namespace}/{name} is somebody else's; delete it")
            if found is None or found.metadata.annotations.get(HASH) != wanted["metadata"]["annotations"][HASH]:
                query = {"fieldManager": MANAGER, "force": "true"}
                found = await self._client.patch(kinds.DEPLOYMENT, name, namespace, wanted, type=kube.APPLY, query=query)
        except errors.Forbidden as error:
            return false("Deployed", "Forbidden", f"{error}; {FIX}")
        return manifest.deployed(found)

    async def stop(self, key: str) -> None:
        """The Deployment of a source that is gone goes by itself; one whose sink is away for a moment keeps what it has heard."""
