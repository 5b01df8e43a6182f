"""Resolve a Route's traffic: from Configurations and percentages to Revisions. Pure.

It is all or nothing. While one target cannot be resolved the Route keeps the traffic it has, so that a failed new revision
never takes a request and the one before goes on serving.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from controller import marks
from controller.marks import Mark
from kfn.api import conditions, names
from kfn.api.serving import Configuration, Revision, Route, TrafficTarget

ASSIGNED = "AllTrafficAssigned"


@dataclass(frozen=True, slots=True)
class Resolved:
    """`traffic` None means: leave it as it is, for the reason in `mark`."""

    traffic: list[TrafficTarget] | None
    mark: Mark


def resolve(route: Route, configurations: Mapping[str, Configuration], revisions: Mapping[str, Revision]) -> Resolved:
    targets: list[TrafficTarget] = []
    trouble: list[Mark] = []
    for target in route.spec.traffic:
        name, problem = _revision_of(route, target, configurations, revisions)
        if problem is not None:
            trouble.append(problem)
        latest = not target.revision_name
        targets.append(replace(target, revision_name=name, configuration_name="", latest_revision=latest, url=""))
    if trouble:
        # What has failed says more than what is on its way.
        return Resolved(None, min(trouble, key=lambda mark: mark.status != conditions.FALSE))
    return Resolved(targets, marks.true(ASSIGNED))


def _revision_of(
    route: Route, target: TrafficTarget, configurations: Mapping[str, Configuration], revisions: Mapping[str, Revision]
) -> tuple[str, Mark | None]:
    if target.revision_name:
        return target.revision_name, _named(route, target.revision_name, revisions.get(target.revision_name))
    name = target.configuration_name
    configuration = configurations.get(name)
    if configuration is None:
        return "", marks.false(ASSIGNED, "ConfigurationMissing", f'Configuration "{name}" referenced in traffic not found.')
    latest = configuration.status.latest_ready_revision_name
    if latest and latest in revisions:
        return latest, None
    if conditions.is_false(configuration.status.conditions, "Ready"):
        return "", marks.false(ASSIGNED, "RevisionMissing", f'Configuration "{name}" does not have any ready Revision.')
    return "", marks.unknown(ASSIGNED, "RevisionMissing", f'Configuration "{name}" is waiting for a Revision to become ready.')


def _named(route: Route, name: str, revision: Revision | None) -> Mark | None:
    if revision is None:
        return marks.false(ASSIGNED, "RevisionMissing", f'Revision "{name}" referenced in traffic not found.')
    service = route.metadata.labels.get(names.SERVICE)
    if service and revision.metadata.labels.get(names.SERVICE) != service:
        return marks.false(ASSIGNED, "RevisionNotOwned", f'Revision "{name}" does not belong to the Service "{service}".')
    if any(name == known.revision_name for known in route.status.traffic):
        return None  # it serves already; an error on a later wake must not block a change of the split, least of all a rollback
    ready = conditions.find(revision.status.conditions, "Ready")
    if ready is not None and ready.status == conditions.FALSE:
        return marks.false(ASSIGNED, "RevisionMissing", f'Revision "{name}" failed to become ready.')
    if ready is None or ready.status != conditions.TRUE:
        return marks.unknown(ASSIGNED, "RevisionMissing", f'Revision "{name}" is not yet ready.')
    return None
