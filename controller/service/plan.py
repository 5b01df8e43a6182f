"""What a Service asks of the cluster: one Configuration and one Route of its name, and a status that follows theirs. Pure."""

from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from controller import marks, owner
from controller.marks import Mark
from controller.owner import Ownership
from kfn.api import conditions, names
from kfn.api.meta import ObjectMeta
from kfn.api.serving import (
    Configuration,
    ConfigurationSpec,
    Revision,
    Route,
    RouteSpec,
    Service,
    ServiceStatus,
    TrafficTarget,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A Service and what is there under its name. `named` is the Revision that its template names, if it names one; `refused`
    says which child the API server did not take, and why."""

    service: Service
    configuration: Configuration | None = None
    route: Route | None = None
    named: Revision | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The children to have (None: leave what is there alone) and the status to show."""

    configuration: Configuration | None
    route: Route | None
    status: ServiceStatus


def plan(seen: Seen, now: datetime) -> Plan:
    service, configuration, route = seen.service, seen.configuration, seen.route
    owns_configuration = configuration is None or owner.ownership(configuration.metadata, service) is Ownership.OURS
    owns_route = route is None or owner.ownership(route.metadata, service) is Ownership.OURS
    taken = _name_taken(seen)
    said = [_configurations_ready(service, configuration, seen.refused), _routes_ready(service, configuration, route, taken)]
    status = replace(
        service.status,
        observed_generation=service.metadata.generation,
        conditions=marks.settle(conditions.SERVICE, service.status.conditions, said, now),
    )
    if configuration is not None and owns_configuration:
        status = replace(
            status,
            latest_created_revision_name=configuration.status.latest_created_revision_name,
            latest_ready_revision_name=configuration.status.latest_ready_revision_name,
        )
    if route is not None and owns_route:
        status = replace(status, url=route.status.url, address=route.status.address, traffic=route.status.traffic)
    # With a revision name of the user's own the Route may name a Revision that the Configuration has yet to make.
    route_may_go = owns_route and not taken and (not service.spec.template.metadata.name or _is_current(service, configuration))
    return Plan(
        configuration=wanted_configuration(service) if owns_configuration else None,
        route=wanted_route(service) if route_may_go else None,
        status=status,
    )


def wanted_configuration(service: Service) -> Configuration:
    meta = _child_meta(service)
    labels = {**meta.labels, names.SERVICE: service.metadata.name, names.SERVICE_UID: service.metadata.uid}
    annotations = {k: v for k, v in meta.annotations.items() if k != names.ROLLOUT_DURATION}
    return Configuration(
        metadata=replace(meta, labels=labels, annotations=annotations), spec=ConfigurationSpec(template=service.spec.template)
    )


def wanted_route(service: Service) -> Route:
    meta = _child_meta(service)
    labels = {**meta.labels, names.SERVICE: service.metadata.name}
    targets = service.spec.traffic or [TrafficTarget(latest_revision=True, percent=100)]
    return Route(
        metadata=replace(meta, labels=labels), spec=RouteSpec(traffic=[_route_target(target, service.metadata.name) for target in targets])
    )


def _route_target(target: TrafficTarget, configuration: str) -> TrafficTarget:
    if target.revision_name:
        return replace(target, latest_revision=False, configuration_name="", url="")
    return replace(target, latest_revision=True, configuration_name=configuration, url="")


def _child_meta(service: Service) -> ObjectMeta:
    return ObjectMeta(
        name=service.metadata.name,
        namespace=service.metadata.namespace,
        labels=dict(service.metadata.labels),
        annotations={k: v for k, v in service.metadata.annotations.items() if k != names.LAST_APPLIED},
        owner_references=[owner.reference(service)],
    )


def _is_current(service: Service, configuration: Configuration | None) -> bool:
    """Whether the Configuration has the Service's template and has acted on it."""
    return (
        configuration is not None
        and configuration.spec.template == service.spec.template
        and configuration.status.observed_generation == configuration.metadata.generation
    )


def _name_taken(seen: Seen) -> bool:
    """Whether the revision name that the template asks for belongs to another template's or another owner's Revision."""
    revision, configuration = seen.named, seen.configuration
    if revision is None or configuration is None:
        return False
    whose = owner.ownership(revision.metadata, configuration)
    return whose is Ownership.FOREIGN or (whose is Ownership.OURS and revision.spec != seen.service.spec.template.spec)


def _configurations_ready(service: Service, configuration: Configuration | None, refused: str) -> Mark:
    kind = "ConfigurationsReady"
    if refused:
        return marks.false(kind, "FailedCreate", refused)
    if configuration is not None and owner.ownership(configuration.metadata, service) is Ownership.FOREIGN:
        return marks.false(kind, "NotOwned", f'There is an existing Configuration "{configuration.metadata.name}" that we do not own.')
    if configuration is None or not _is_current(service, configuration):
        return marks.unknown(kind, "OutOfDate", "The Configuration is still working to reflect the latest desired specification.")
    ready = conditions.find(configuration.status.conditions, "Ready")
    return Mark(kind, ready.status, ready.reason, ready.message) if ready else marks.unknown(kind)


def _routes_ready(service: Service, configuration: Configuration | None, route: Route | None, taken: bool) -> Mark:
    kind = "RoutesReady"
    if route is not None and owner.ownership(route.metadata, service) is Ownership.FOREIGN:
        return marks.false(kind, "NotOwned", f'There is an existing Route "{route.metadata.name}" that we do not own.')
    if taken:
        name = service.spec.template.metadata.name
        why = f'The revision name "{name}" is taken by a conflicting Revision, so traffic will not be migrated'
        return marks.false(kind, "RevisionNameTaken", why)
    if (
        route is None
        or route.spec != wanted_route(service).spec
        or route.status.observed_generation != route.metadata.generation
        or owner.ownership(route.metadata, service) is not Ownership.OURS
    ):
        return marks.unknown(kind, "OutOfDate", "The Route is still working to reflect the latest desired specification.")
    ready = conditions.find(route.status.conditions, "Ready")
    if ready is None:
        return marks.unknown(kind)
    if ready.status == conditions.TRUE and not _migrated(configuration, route):
        return marks.unknown(kind, "TrafficNotMigrated", "Traffic is not yet migrated to the latest revision.")
    return Mark(kind, ready.status, ready.reason, ready.message)


def _migrated(configuration: Configuration | None, route: Route) -> bool:
    latest = configuration.status.latest_ready_revision_name if configuration else ""
    return all(target.revision_name == latest for target in route.status.traffic if target.latest_revision)
