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

SETTLE = timedelta(seconds=30)  # every gateway knows by then that a Revision has no traffic any more


@dataclass(frozen=True, slots=True)
class Plan:
    """The Revisions to delete, and in how many seconds another may become old enough."""

    delete: Sequence[Revision]
    look_again: float | None


def plan(configuration: Configuration, revisions: Sequence[Revision], settings: Settings, now: datetime) -> Plan:
    """Beyond `min_non_active_revisions` the old go, oldest first; beyond `max_non_active_revisions` the young go too, but none that a
    gateway may not have heard of yet."""
    idle = sorted((r for r in revisions if _may_go(configuration, r)), key=lambda r: (_last_active(r, now), generation_of(r)))
    settling = [r for r in idle if _last_active(r, now) + SETTLE > now]
    spare = max(len(idle) - settings.min_non_active_revisions, 0)
    old = [r for r in idle if _stale_at(r, settings, now) <= now][:spare]
    left = [r for r in idle if r not in old]
    most = len(left) if settings.max_non_active_revisions is None else settings.max_non_active_revisions
    surplus = left[: max(len(left) - most, 0)]
    left = left[len(surplus) :]
    due = [_stale_at(r, settings, now) for r in left] if len(left) > settings.min_non_active_revisions else []
    gone = [r for r in (*old, *surplus) if r not in settling]
    due += [_last_active(r, now) + SETTLE for r in settling]
    return Plan(gone, max((min(due) - now).total_seconds(), 1.0) if due else None)


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
