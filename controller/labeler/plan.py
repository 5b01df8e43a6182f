"""Whether a Revision is in use, as labels and annotations on it. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from kfn.api import names
from kfn.api.serving import Configuration, Revision, Route
from kfn.clock import timestamp

ACTIVE = "active"
RESERVE = "reserve"
PENDING = "pending"


def plan(revision: Revision, routes: Sequence[Route], configuration: Configuration | None, now: datetime) -> dict[str, Any] | None:
    """The merge patch that makes the Revision's routing state true, or None if it is true already.

    A Revision is active while a Route sends to it or names it; one that has yet to become ready for its first traffic is pending.
    """
    name, meta = revision.metadata.name, revision.metadata
    users = sorted(route.metadata.name for route in routes if name in revisions_of(route))
    before = meta.labels.get(names.ROUTING_STATE, "")
    newest = configuration is not None and configuration.status.latest_created_revision_name in ("", name)
    if users:
        state = ACTIVE
    elif before in (PENDING, "") and newest:
        state = PENDING
    else:
        state = RESERVE
    routes_value = ",".join(users)
    if state == before and routes_value == meta.annotations.get(names.ROUTES, ""):
        return None
    annotations: dict[str, str | None] = {names.ROUTES: routes_value or None}
    if state != before:
        annotations[names.ROUTING_STATE_MODIFIED] = timestamp(now)
    return {"metadata": {"labels": {names.ROUTING_STATE: state}, "annotations": annotations}}


def revisions_of(route: Route) -> set[str]:
    """Every Revision that the Route sends to now, or is asked to: one that is about to get traffic must be able to start."""
    return {t.revision_name for t in (*route.status.traffic, *route.spec.traffic) if t.revision_name}
