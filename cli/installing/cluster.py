"""Any object of any kind on an API server, by what its own discovery says of kinds: apply, get, delete, list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.failures import CliError
from kfn.kube import errors
from kfn.kube.client import APPLY, Client

Json = dict[str, Any]

MANAGER = "kfn"


@dataclass(slots=True)
class Cluster:
    client: Client
    _kinds: dict[str, dict[str, tuple[str, bool]]] = field(default_factory=dict)  # by apiVersion, then kind: plural, namespaced

    async def apply(self, thing: Json, *, force: bool = False, manager: str = MANAGER) -> Json:
        """Server-side apply: fields that are not named stay as they are. Raises CliError where somebody else holds one that is."""
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        path = await self.path(thing)
        try:
            answer: Json = await self.call("PATCH", path, body=thing, query=query, content_type=APPLY)
        except errors.Conflict as conflict:
            raise CliError(conflict_words(thing, conflict.status)) from conflict
        except errors.ApiError as error:
            raise CliError(f"{named(thing)}: {error.message}", 4 if isinstance(error, errors.Forbidden) else 1) from error
        return answer

    async def get(self, thing: Json) -> Json | None:
        try:
            found: Json = await self.call("GET", await self.path(thing))
        except errors.NotFound:
            return None
        return found

    async def delete(self, thing: Json) -> bool:
        """Whether it was there. What hangs on it goes in the background."""
        try:
            await self.call("DELETE", await self.path(thing), body={"propagationPolicy": "Background"})
        except errors.NotFound:
            return False
        return True

    async def list(self, api_version: str, kind: str, namespace: str = "", labels: str = "") -> list[Json]:
        """Empty where there is no such kind."""
        try:
            plural, namespaced = await self._resource(api_version, kind)
            place = f"namespaces/{namespace}/{plural}" if namespaced and namespace else plural
            body = await self.call("GET", f"{_root(api_version)}/{place}", query={"labelSelector": labels} if labels else None)
        except errors.NotFound:
            return []
        return [{"apiVersion": api_version, "kind": kind, **one} for one in body.get("items") or []]

    async def path(self, thing: Json) -> str:
        """Raises NotFound where the server has no such kind."""
        plural, namespaced = await self._resource(thing["apiVersion"], thing["kind"])
        meta = thing["metadata"]
        place = f"namespaces/{meta['namespace']}/{plural}" if namespaced else plural
        return f"{_root(thing['apiVersion'])}/{place}/{meta['name']}"

    async def call(
        self, method: str, path: str, *, body: Any = None, query: Mapping[str, str] | None = None, content_type: str = "application/json"
    ) -> Any:
        answer = await self.client.transport.request(method, path, query=query, body=body, content_type=content_type)
        if answer.status >= 400:
            raise errors.from_status(answer.status, answer.body)
        return answer.body

    async def _resource(self, api_version: str, kind: str) -> tuple[str, bool]:
        if kind not in self._kinds.get(api_version, {}):  # asked again for a kind that may be new
            resources = (await self.call("GET", _root(api_version))).get("resources") or []
            plain = [one for one in resources if "/" not in one["name"]]
            self._kinds[api_version] = {one["kind"]: (one["name"], bool(one["namespaced"])) for one in plain}
        try:
            return self._kinds[api_version][kind]
        except KeyError:
            raise errors.NotFound(404, "NotFound", f"this cluster has no kind {kind} in {api_version}") from None


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def named(thing: Json) -> str:
    """`Deployment kfn-system/kfn-gateway`."""
    meta = thing["metadata"]
    place = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{thing['kind']} {place}{meta['name']}"


def conflict_words(thing: Json, status: Mapping[str, Any]) -> str:
    """Which fields somebody else holds, who, and what to do about it."""
    causes: Sequence[Mapping[str, str]] = (status.get("details") or {}).get("causes") or []
    held = "; ".join(f"{one.get('field', '?')} ({one.get('message', 'held by somebody else')})" for one in causes[:5])
    return (
        f"{named(thing)}: somebody else set what an installation sets too: {held or status.get('message', '')}. Undo that change, or give "
        "--force-conflicts, with which kfn's own values win"
    )
