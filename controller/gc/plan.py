"""Which Revisions of a Configuration are to go: Knative's config-gc rules. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.configuration.plan import generation_of
from controller.labeler.plan import RESERVE
from controller.revision.evidence import parse_time
from controller.settings import Settings
from kfn.api import names
from kfn.api.serving import Configuration, Revision


@dataclass(frozen=True, slots=True)
class Plan:
    """The Revisions to delete, and in how many seconds another may become old enough."""

    delete: Sequence[Revision]
    look_again: float | None


def plan(configuration: Configuration, revisions: Sequence[Revision], settings: Settings, now: datetime) -> Plan:
    """Beyond `min_non_active_revisions` the old go, oldest first; beyond `max_non_active_revisions` the young go too."""
    idle = sorted((r for r in revisions if _may_go(configuration, r)), key=lambda r: (_last_active(r, now), generation_of(r)))
    spare = len(idle) - settings.min_non_active_revisions
    most = len(idle) if settings.max_non_active_revisions is None else settings.max_non_active_revisions
    surplus = len(idle) - most
    delete = [r for place, r in enumerate(idle) if place < surplus or (place < spare and _stale_at(r, settings, now) <= now)]
    due = [_stale_at(r, settings, now) for r in idle[: max(spare, 0)] if r not in delete]
    return Plan(delete, max((min(due) - now).total_seconds(), 1.0) if due else None)


def _may_go(configuration: Configuration, revision: Revision) -> bool:
    status, meta = configuration.status, revision.metadata
    if meta.name in (status.latest_ready_revision_name, status.latest_created_revision_name) or meta.deletion_timestamp:
        return False
    if meta.annotations.get(names.NO_GC, "").lower() == "true":
        return False
    return meta.labels.get(names.ROUTING_STATE) == RESERVE


def _last_active(revision: Revision, now: datetime) -> datetime:
    created = parse_time(revision.metadata.creation_timestamp) or now
    return parse_time(revision.metadata.annotations.get(names.ROUTING_STATE_MODIFIED, "")) or created


def _stale_at(revision: Revision, settings: Settings, now: datetime) -> datetime:
    created = parse_time(revision.metadata.creation_timestamp) or now
    return max(
        created + timedelta(seconds=settings.retain_since_create_time),
        _last_active(revision, now) + timedelta(seconds=settings.retain_since_last_active_time),
    )
