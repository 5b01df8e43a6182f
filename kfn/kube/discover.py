"""A kind by the name that users write, `apps/v1` and `Deployment`: its plural and its scope are what the API server says they are."""

from typing import Any

from kfn.api.kinds import Kind
from kfn.api.raw import Raw
from kfn.kube import errors
from kfn.kube.client import Client


class NoSuchKind(LookupError):
    """The API server serves no such kind, now."""


async def discover(client: Client, api_version: str, kind: str) -> Kind[Raw]:
    """Raises `NoSuchKind`, and KubeError."""
    group, _, version = api_version.rpartition("/")
    answer = await client.transport.request("GET", f"/apis/{group}/{version}" if group else f"/api/{version}")
    if answer.status >= 400 and answer.status != 404:
        raise errors.from_status(answer.status, answer.body)
    resources: list[dict[str, Any]] = (answer.body or {}).get("resources") or [] if answer.status < 400 else []
    found = next((one for one in resources if one.get("kind") == kind and "/" not in str(one.get("name"))), None)
    if found is None:
        raise NoSuchKind(f"this API server has no {kind} in {api_version}; install its definition, or correct the name")
    if not {"list", "watch"} <= set(found.get("verbs") or ()):
        raise NoSuchKind(f"{kind} in {api_version} cannot be watched: the API server offers {', '.join(found.get('verbs') or ())}")
    return Kind(group, version, kind, str(found["name"]), Raw, bool(found.get("namespaced")))
