"""What a Configuration asks of the cluster: a Revision of its present template, and which of its Revisions count as latest. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from controller import marks, owner
from controller.marks import Mark
from controller.owner import Ownership
from kfn.api import conditions, names
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Configuration, ConfigurationStatus, Revision
from kfn.clock import timestamp


@dataclass(frozen=True, slots=True)
class Seen:
    """A Configuration, its Revisions, and whatever Revision has the name that its present template gets. `refused` says why
    the API server did not take a new one."""

    configuration: Configuration
    revisions: Sequence[Revision] = ()
    named: Revision | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The Revision to create, if it is not there, and the status to show."""

    create: Revision | None
    status: ConfigurationStatus


def plan(seen: Seen, now: datetime) -> Plan:
    configuration, status = seen.configuration, seen.configuration.status
    wanted = wanted_revision(configuration, now)
    latest = _current(seen)
    if latest is None and seen.refused:
        said = marks.false("Ready", "RevisionFailed", f"Revision creation failed with message: {seen.refused}")
        return Plan(None, _status(configuration, said, now))
    if latest is None:
        if seen.named is not None and owner.ownership(seen.named.metadata, configuration) is not Ownership.LEFTOVER:
            return Plan(None, _status(configuration, _taken(wanted.metadata.name), now))
        return Plan(wanted if seen.named is None else None, status)  # the status waits for the Revision: one write, not two
    status = _status(
        configuration,
        _ready(latest),
        now,
        created=latest.metadata.name,
        ready=_latest_ready(status.latest_ready_revision_name, latest, seen.revisions),
    )
    return Plan(None, status)


def revision_name(configuration: Configuration) -> str:
    """The name of the Revision of the present template: the user's own, or numbered by generation."""
    return configuration.spec.template.metadata.name or names.revision(configuration.metadata.name, configuration.metadata.generation)


def wanted_revision(configuration: Configuration, now: datetime) -> Revision:
    meta, template = configuration.metadata, configuration.spec.template
    labels = {
        **template.metadata.labels,
        names.CONFIGURATION: meta.name,
        names.CONFIGURATION_UID: meta.uid,
        names.CONFIGURATION_GENERATION: str(meta.generation),
        names.ROUTING_STATE: "pending",
    }
    labels.update({k: meta.labels[k] for k in (names.SERVICE, names.SERVICE_UID) if k in meta.labels})
    annotations = {**template.metadata.annotations, names.ROUTING_STATE_MODIFIED: timestamp(now)}
    creator = meta.annotations.get(names.LAST_MODIFIER) or meta.annotations.get(names.CREATOR)
    if creator:
        annotations[names.CREATOR] = creator
    return Revision(
        metadata=ObjectMeta(
            name=revision_name(configuration),
            namespace=meta.namespace,
            labels=labels,
            annotations=annotations,
            owner_references=[owner.reference(configuration)],
        ),
        spec=template.spec,
    )


def generation_of(revision: Revision) -> int:
    """The Configuration's generation that made this Revision; 0 when nothing readable says."""
    label = revision.metadata.labels.get(names.CONFIGURATION_GENERATION, "")
    return int(label) if label.isdecimal() else 0


def is_ready(revision: Revision) -> bool:
    return revision.status.observed_generation == revision.metadata.generation and conditions.is_true(revision.status.conditions, "Ready")


def _current(seen: Seen) -> Revision | None:
    """The Revision of the present template. One of the user's naming counts only while it says what the template says."""
    configuration, revision = seen.configuration, seen.named
    if revision is None or owner.ownership(revision.metadata, configuration) is not Ownership.OURS:
        return None
    if generation_of(revision) == configuration.metadata.generation or revision.spec == configuration.spec.template.spec:
        return revision
    return None


def _ready(revision: Revision) -> Mark:
    name = revision.metadata.name
    ready = conditions.find(revision.status.conditions, "Ready")
    if ready is None or revision.status.observed_generation != revision.metadata.generation:
        return marks.unknown("Ready", "", f'Revision "{name}" is not yet ready.')
    if ready.status == conditions.FALSE:
        return marks.false("Ready", "RevisionFailed", f'Revision "{name}" failed with message: {ready.message or ready.reason}')
    return Mark("Ready", ready.status, ready.reason, ready.message)


def _taken(name: str) -> Mark:
    why = f'Revision creation failed with message: revisions.serving.knative.dev "{name}" already exists with another template or owner.'
    return marks.false("Ready", "RevisionFailed", why)


def _latest_ready(before: str, created: Revision, revisions: Sequence[Revision]) -> str:
    """The newest ready Revision, never older than the one before: a Revision that fails later does not move traffic back."""
    if is_ready(created):
        return created.metadata.name
    old = next((r for r in revisions if r.metadata.name == before), None)
    floor = generation_of(old) if old else 0
    ready = [r for r in revisions if is_ready(r) and generation_of(r) >= floor]
    if ready:
        return max(ready, key=generation_of).metadata.name
    return before if old else ""


def _status(
    configuration: Configuration, said: Mark, now: datetime, *, created: str | None = None, ready: str | None = None
) -> ConfigurationStatus:
    status = configuration.status
    return replace(
        status,
        observed_generation=configuration.metadata.generation,
        conditions=marks.settle(conditions.CONFIGURATION, status.conditions, [said], now),
        latest_created_revision_name=status.latest_created_revision_name if created is None else created,
        latest_ready_revision_name=status.latest_ready_revision_name if ready is None else ready,
    )
