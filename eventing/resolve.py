"""Where a Destination points: the URL of an object, of a path below it, or the URI itself."""

import json
from urllib.parse import urljoin, urlsplit

from kfn.api import kinds
from kfn.api.eventing import Broker
from kfn.api.meta import Condition, Destination, KReference
from kfn.api.serving import Service
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.informer import Informer


class Unresolved(Exception):
    """There is no URL for the destination, now; `reason` is for the condition."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Resolver:
    """Reads functions and Brokers from informers, and Kubernetes Services, which are rarer, from the API server."""

    def __init__(self, client: Client, services: Informer[Service], brokers: Informer[Broker]) -> None:
        self._client, self._services, self._brokers = client, services, brokers

    async def url(self, destination: Destination, namespace: str, field: str) -> str:
        """Raises `Unresolved`, whose message names the field."""
        base = ""
        if destination.ref is not None:
            base = await self._address(destination.ref, destination.ref.namespace or namespace, field)
        if not destination.uri:
            if not base:
                raise Unresolved("NoDestination", f"{field}: needs ref or uri")
            return base
        try:
            url = urljoin(base, destination.uri)
            parts = urlsplit(url)
        except ValueError as error:
            raise Unresolved("InvalidUri", f"{field}.uri: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unresolved(
                "InvalidUri", f"{field}.uri: {destination.uri!r} is not an absolute http URL, and there is no ref to be relative to"
            )
        return url

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

    async def _address(self, ref: KReference, namespace: str, field: str) -> str:
        api_version = ref.api_version or (f"{ref.group}/v1" if ref.group else "v1")
        what = f"{ref.kind} {namespace}/{ref.name}"
        found: Service | Broker | None
        if (api_version, ref.kind) == ("v1", "Service"):
            return await self._core_service(ref.name, namespace, field)
        if (api_version, ref.kind) == (kinds.SERVICE.api_version, "Service"):
            found = self._services.get(namespace, ref.name)
        elif (api_version, ref.kind) == (kinds.BROKER.api_version, "Broker"):
            found = self._brokers.get(namespace, ref.name)
        else:
            raise Unresolved(
                "NotAddressable", f"{field}.ref: {api_version} {ref.kind} cannot receive events; use a Service or a Broker, or a uri"
            )
        if found is None:
            raise Unresolved("NotFound", f"{field}.ref: there is no {what}")
        if found.status.address is None or not found.status.address.url:
            raise Unresolved("NoAddress", f"{field}.ref: {what} has no address yet")
        return found.status.address.url

    async def _core_service(self, name: str, namespace: str, field: str) -> str:
        try:
            await self._client.get(kinds.CORE_SERVICE, name, namespace)
        except errors.NotFound:
            raise Unresolved("NotFound", f"{field}.ref: there is no Service {namespace}/{name}") from None
        return f"http://{name}.{namespace}.svc.cluster.local"
