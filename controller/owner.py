"""Who owns an object: what lets a reconciler write it, or say why it may not. Pure."""

from enum import Enum
from typing import Any

from kfn.api.meta import ObjectMeta, OwnerReference


class Ownership(Enum):
    """`LEFTOVER` belongs to a deleted owner of the same name and is about to be garbage-collected: wait for that."""

    OURS = "ours"
    LEFTOVER = "leftover"
    FOREIGN = "foreign"


def reference(owner: Any) -> OwnerReference:
    """The ownerReference that makes `owner` the controller of an object, and a foreground deletion wait for that object."""
    meta = owner.metadata
    return OwnerReference(owner.api_version, owner.kind, meta.name, meta.uid, controller=True, block_owner_deletion=True)


def controller_of(meta: ObjectMeta) -> OwnerReference | None:
    return next((ref for ref in meta.owner_references if ref.controller), None)


def ownership(meta: ObjectMeta, owner: Any) -> Ownership:
    """What the object with this metadata is to `owner`."""
    return compare(meta, reference(owner))


def compare(meta: ObjectMeta, ours: OwnerReference) -> Ownership:
    """What the object with this metadata is to the owner that `ours` refers to."""
    ref = controller_of(meta)
    if ref is None:
        return Ownership.FOREIGN
    if ref.uid == ours.uid:
        return Ownership.OURS
    if (ref.kind, ref.name) == (ours.kind, ours.name):
        return Ownership.LEFTOVER
    return Ownership.FOREIGN
