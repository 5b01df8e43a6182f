"""Holding an object back from deletion until what it stands for on the bus is gone."""

from typing import Any, TypeVar

from kfn.api.kinds import Kind
from kfn.api.meta import ObjectMeta
from kfn.kube.client import Client

T = TypeVar("T")


async def add(client: Client, kind: Kind[T], meta: ObjectMeta, name: str) -> None:
    """Raises `Conflict` if the object changed meanwhile; the next reconcile sees it as it is."""
    if name not in meta.finalizers:
        await client.patch(kind, meta.name, meta.namespace, _patch(meta, [*meta.finalizers, name]))


async def remove(client: Client, kind: Kind[T], meta: ObjectMeta, name: str) -> None:
    if name in meta.finalizers:
        await client.patch(kind, meta.name, meta.namespace, _patch(meta, [f for f in meta.finalizers if f != name]))


def _patch(meta: ObjectMeta, finalizers: list[str]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": meta.resource_version, "finalizers": finalizers}}
