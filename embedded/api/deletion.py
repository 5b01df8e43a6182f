"""Pure: what a DELETE does to one object: remove it now, or mark it and wait for finalizers, dependents or the node."""

from dataclasses import dataclass
from typing import Any

from embedded.api import status
from kfn.api.base import Json
from kfn.api.kinds import NAMESPACE, POD, Kind

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_POD_GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Options:
    """`DeleteOptions`, from the body or the query."""

    propagation: str = "Background"
    uid: str = ""
    resource_version: str = ""
    grace_seconds: int | None = None
    dry_run: bool = False


def options(body: Any, query: dict[str, str]) -> Options:
    """Read them; the body wins over the query. Raises 400 for values that Kubernetes does not know."""
    given = body if isinstance(body, dict) and body.get("kind", "DeleteOptions") == "DeleteOptions" else {}
    conditions = given.get("preconditions") or {}
    if not isinstance(conditions, dict):
        raise status.bad_request("preconditions must be an object")
    propagation = given.get("propagationPolicy") or query.get("propagationPolicy") or "Background"
    if given.get("orphanDependents") is True or query.get("orphanDependents") == "true":
        propagation = "Orphan"
    if propagation not in ("Background", "Foreground", "Orphan"):
        raise status.bad_request(f'invalid propagationPolicy "{propagation}": must be Background, Foreground or Orphan')
    grace = given.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    try:
        seconds = None if grace in (None, "") else int(grace)
    except (TypeError, ValueError, OverflowError):
        raise status.bad_request(f"invalid gracePeriodSeconds {str(grace)[:40]!r}: must be a whole number of seconds") from None
    dry_run = given.get("dryRun") == ["All"] or query.get("dryRun") == "All"
    return Options(propagation, conditions.get("uid") or "", conditions.get("resourceVersion") or "", seconds, dry_run)


def check(kind: Kind[Any], obj: Json, wanted: Options) -> None:
    """Raise 409 if a precondition does not hold."""
    meta = obj["metadata"]
    if wanted.uid and wanted.uid != meta["uid"]:
        why = f"Precondition failed: UID in precondition: {wanted.uid}, UID in object meta: {meta['uid']}"
        raise status.conflict(kind, meta["name"], why)
    if wanted.resource_version and wanted.resource_version != meta["resourceVersion"]:
        why = f"Precondition failed: ResourceVersion in precondition: {wanted.resource_version}, in object meta: {meta['resourceVersion']}"
        raise status.conflict(kind, meta["name"], why)


def marked(kind: Kind[Any], obj: Json, wanted: Options, now: str, *, has_dependents: bool) -> Json | None:
    """The object with its deletion marked, or None when it can be removed at once. May return an equal object: nothing to do."""
    meta = dict(obj["metadata"])
    finalizers = list(meta.get("finalizers") or ())
    if wanted.propagation == "Foreground" and has_dependents and FOREGROUND not in finalizers:
        finalizers.append(FOREGROUND)
    if wanted.propagation == "Orphan" and has_dependents and ORPHAN not in finalizers:
        finalizers.append(ORPHAN)
    grace = _grace(kind, obj, wanted)
    if not finalizers and not grace and kind != NAMESPACE:
        return None
    if finalizers:
        meta["finalizers"] = finalizers
    if not meta.get("deletionTimestamp"):
        meta |= {"deletionTimestamp": now, "deletionGracePeriodSeconds": grace}
        if meta.get("generation"):
            meta["generation"] += 1
    elif grace < int(meta.get("deletionGracePeriodSeconds") or 0):
        meta["deletionGracePeriodSeconds"] = grace
    result = {**obj, "metadata": meta}
    if kind == NAMESPACE:
        result["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return result


def finished(kind: Kind[Any], obj: Json) -> bool:
    """True for a marked object that nothing holds back any more, so that the write which says so removes it."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if kind == NAMESPACE:
        return not (obj.get("spec") or {}).get("finalizers")
    return not (kind == POD and meta.get("deletionGracePeriodSeconds"))


def _grace(kind: Kind[Any], obj: Json, wanted: Options) -> int:
    """Seconds that the node has to stop a pod; 0 says that it has."""
    if kind != POD:
        return 0
    if wanted.grace_seconds is not None:
        return max(0, wanted.grace_seconds)
    own = (obj.get("spec") or {}).get("terminationGracePeriodSeconds")
    return _POD_GRACE_SECONDS if own is None else int(own)
