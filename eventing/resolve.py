"""Where a Destination points: the URL of an object, of a path below it, or the URI itself."""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urljoin, urlsplit

from eventing.conditions import false, true
from kfn.api import kinds
from kfn.api.meta import Addressable, Condition, Destination, KReference
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.informer import Informer


class Unresolved(Exception):
    """There is no URL for the destination, now; `reason` is for the condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Resolver:
    """Reads what has an address from informers, and Kubernetes Services, which are rarer, from the API server."""

    def __init__(self, client: Client, addressed: Iterable[Informer[Any]]) -> None:
        self._client = client
        self._addressed = {(informer.kind.api_version, informer.kind.kind): informer for informer in addressed}

    async def url(self, destination: Destination, namespace: str, field: str) -> str:
        """Raises `Unresolved`, whose message names the field."""
        return (await self.address(destination, namespace, field)).url

    async def address(self, destination: Destination, namespace: str, field: str) -> Addressable:
        """As above, with the certificates that it is trusted by: the destination's own, else the object's."""
        found = Addressable()
        if destination.ref is not None:
            found = await self._address(destination.ref, destination.ref.namespace or namespace, field)
        return Addressable(url=_joined(found.url, destination.uri, field), ca_certs=destination.ca_certs or found.ca_certs)

    async def dead_letters(self, sink: Destination | None, namespace: str) -> tuple[str, Condition]:
        """Where they go, and the condition that says so."""
        if sink is None:
            return "", true("DeadLetterSinkResolved", "DeadLetterSinkNotConfigured", "No dead letter sink is configured.")
        try:
            return await self.url(sink, namespace, "spec.delivery.deadLetterSink"), true("DeadLetterSinkResolved")
        except Unresolved as error:
            return "", false("DeadLetterSinkResolved", error.reason, str(error))

    async def dependency(self, annotation: str, namespace: str) -> Condition | None:
        """The Ready condition of the object that `knative.dev/dependency` names; None if it is not there. Raises `Unresolved`."""
        try:
            given = json.loads(annotation)
            kind = kinds.find(given["apiVersion"], given["kind"])
            name = str(given["name"])
        except (ValueError, KeyError, TypeError):
            raise Unresolved(
                "InvalidDependency", "annotation knative.dev/dependency: must be JSON with apiVersion, kind and name"
            ) from None
        if kind is None:
            raise Unresolved("UnknownDependency", f"annotation knative.dev/dependency: kind {given['kind']} is not known here")
        try:
            found = await self._client.get(kind, name, namespace if kind.namespaced else None)
        except errors.NotFound:
            return None
        conditions = getattr(getattr(found, "status", None), "conditions", None) or []
        return next((c for c in conditions if c.type == "Ready"), Condition(type="Ready", status="Unknown"))

    async def _address(self, ref: KReference, namespace: str, field: str) -> Addressable:
        api_version = ref.api_version or (f"{ref.group}/v1" if ref.group else "v1")
        what = f"{ref.kind} {namespace}/{ref.name}"
        if (api_version, ref.kind) == ("v1", "Service"):
            return Addressable(url=await self._core_service(ref.name, namespace, field))
        informer = self._addressed.get((api_version, ref.kind))
        if informer is None:
            known = ", ".join(sorted({kind for _, kind in self._addressed}))
            raise Unresolved("NotAddressable", f"{field}.ref: {api_version} {ref.kind} cannot receive events; use one of {known}, or a uri")
        found = informer.get(namespace, ref.name)
        if found is None:
            raise Unresolved("NotFound", f"{field}.ref: there is no {what}")
        address: Addressable | None = found.status.address
        if address is None or not address.url:
            raise Unresolved("NoAddress", f"{field}.ref: {what} has no address yet")
        return address

    async def _core_service(self, name: str, namespace: str, field: str) -> str:
        try:
            await self._client.get(kinds.CORE_SERVICE, name, namespace)
        except errors.NotFound:
            raise Unresolved("NotFound", f"{field}.ref: there is no Service {namespace}/{name}") from None
        return f"http://{name}.{namespace}.svc.cluster.local"


def _joined(base: str, uri: str, field: str) -> str:
    if not uri:
        if not base:
            raise Unresolved("NoDestination", f"{field}: needs ref or uri")
        return base
    try:
        url = urljoin(base, uri)
        parts = urlsplit(url)
    except ValueError as error:
        raise Unresolved("InvalidUri", f"{field}.uri: {error}") from None
    if not parts.scheme or not parts.hostname:
        raise Unresolved("InvalidUri", f"{field}.uri: {uri!r} is not an absolute URL, and there is no ref to be relative to")
    return url  # as in Knative one that nobody can deliver to is an address too: what is sent there fails, and ends as a dead letter
