"""Pure: which resource a URL path names."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kfn.api import kinds
from kfn.api.kinds import Kind

_BY_RESOURCE: dict[tuple[str, str, str], Kind[Any]] = {(k.group, k.version, k.plural): k for k in kinds.ALL}
# Kubernetes answers node and volume status through these names too; kfn has only what its kinds list.
BUILT_IN_GROUPS = frozenset({"", "apps", "batch", "discovery.k8s.io", "coordination.k8s.io"})


@dataclass(frozen=True, slots=True)
class Target:
    """A resource, one object of it (`name`), or a part of that object (`subresource`)."""

    kind: Kind[Any]
    namespace: str
    name: str
    subresource: str


def built_in(kind: Kind[Any]) -> bool:
    """True for the kinds that Kubernetes compiles in; the others behave as custom resources do."""
    return kind.group in BUILT_IN_GROUPS


@lru_cache(maxsize=4096)
def parse(path: str) -> Target | None:
    """`/apis/GROUP/VERSION[/namespaces/NS]/PLURAL[/NAME[/SUBRESOURCE]]`, or None when no such resource exists."""
    parts = [p for p in path.split("/") if p]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    # /namespaces/NS/PLURAL is about PLURAL; /namespaces/NS and /namespaces/NS/status are about the Namespace itself.
    if rest[0] == "namespaces" and len(rest) >= 3 and (group, version, rest[2]) in _BY_RESOURCE:
        namespace, rest = rest[1], rest[2:]
    kind = _BY_RESOURCE.get((group, version, rest[0]))
    if kind is None or len(rest) > 3 or (namespace and not kind.namespaced):
        return None
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if subresource and subresource not in kind.subresources:
        return None
    if name and kind.namespaced and not namespace:
        return None
    return Target(kind, namespace, name, subresource)
