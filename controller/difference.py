"""What has to be written so that an object is as it is wanted; None when nothing has. Pure.

Kubernetes fills in fields of its own, so a wanted object need only be contained in the one that is there.
"""

from typing import Any, TypeVar

from msgspec.structs import replace

from kfn.api.base import Json, encode

T = TypeVar("T")


def owned_whole(current: Any, wanted: Any) -> Any | None:
    """The object to put for a kind whose spec, labels and annotations are the owner's alone (Configuration, Route): what is taken
    off a Service goes from them, too, as in Knative. Note that an annotation of somebody else's does not stay either."""
    meta = replace(current.metadata, labels=wanted.metadata.labels, annotations=wanted.metadata.annotations)
    if meta == current.metadata and current.spec == wanted.spec:
        return None
    return replace(current, metadata=meta, spec=wanted.spec)


def owned_in_part(current: Any, wanted: Any, *, leave: tuple[str, ...] = ()) -> Json | None:
    """The merge patch for a kind that others write to as well; fields of the spec named in `leave` are theirs."""
    there, want = encode(current), encode(wanted)
    want["spec"] = {k: v for k, v in want["spec"].items() if k not in leave}
    patch: Json = {}
    if not _contains(there.get("spec"), want["spec"]):
        patch["spec"] = want["spec"]
    meta = {k: v for k in ("labels", "annotations") if not _contains(there["metadata"].get(k), v := want["metadata"].get(k, {}))}
    if meta:
        patch["metadata"] = meta
    return patch or None


def _contains(there: Any, want: Any) -> bool:
    if isinstance(want, dict):
        # Quantities come back in another spelling ("1000m" as "1"), and a Revision never changes them.
        return all(name == "resources" or _contains(there.get(name) if isinstance(there, dict) else None, v) for name, v in want.items())
    if isinstance(want, list):
        return isinstance(there, list) and len(there) == len(want) and all(map(_contains, there, want))
    return bool(there == want)
