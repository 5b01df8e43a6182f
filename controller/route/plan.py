"""What a Route asks of the cluster: a placeholder Service for each of its names, and a status with resolved traffic and urls. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from controller import marks, owner
from controller.owner import Ownership
from controller.route.hosts import CLUSTER_LOCAL, GRANTED, grant
from controller.route.traffic import resolve
from controller.settings import Settings
from kfn.api import conditions, core, names
from kfn.api.meta import Addressable, ObjectMeta
from kfn.api.serving import Configuration, Revision, Route, RouteStatus, TrafficTarget


@dataclass(frozen=True, slots=True)
class Seen:
    """A Route, what its targets may mean (by name), and the Services of its names or of its making (by name). `refused` says
    which of those the API server did not take; `rivals` are the Routes that claim each host of the user's own that this one claims."""

    route: Route
    configurations: Mapping[str, Configuration] = field(default_factory=dict)
    revisions: Mapping[str, Revision] = field(default_factory=dict)
    services: Mapping[str, core.Service] = field(default_factory=dict)
    refused: str = ""
    rivals: Mapping[str, Sequence[Route]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The placeholder Services to have, those to delete, and the status to show."""

    services: Sequence[core.Service]
    delete: Sequence[core.Service]
    status: RouteStatus


def plan(seen: Seen, settings: Settings, now: datetime) -> Plan:
    route = seen.route
    resolved = resolve(route, seen.configurations, seen.revisions)
    wanted = [_placeholder(route, name, settings) for name in names_of(route)]
    whose = {name: owner.ownership(there.metadata, route) for name, there in seen.services.items()}
    foreign = [s.metadata.name for s in wanted if whose.get(s.metadata.name) is Ownership.FOREIGN]
    traffic = route.status.traffic if resolved.traffic is None else resolved.traffic
    granted = grant(route, seen.rivals, settings)
    notes = {key: value for key, value in route.status.annotations.items() if key != names.HOSTS}
    if granted.hosts:
        notes[names.HOSTS] = ",".join(granted.hosts)
    status = replace(
        route.status,
        observed_generation=route.metadata.generation,
        url=url(route, "", settings),
        address=Addressable(url=f"http://{route.metadata.name}.{route.metadata.namespace}.{settings.cluster_domain}"),
        annotations=notes,
        traffic=[replace(target, url=url(route, target.tag, settings) if target.tag else "") for target in traffic],
        conditions=marks.settle(
            conditions.ROUTE,
            [condition for condition in route.status.conditions if granted.mark or condition.type != GRANTED],
            [
                resolved.mark,
                _ingress(foreign, traffic, seen.refused),
                marks.true("CertificateProvisioned", "TLSNotEnabled", "external-domain-tls is not enabled"),
                *([granted.mark] if granted.mark else []),
            ],
            now,
        ),
    )
    mine = [s for s in wanted if whose.get(s.metadata.name, Ownership.OURS) is Ownership.OURS]
    keep = {s.metadata.name for s in wanted}
    stale = [s for name, s in seen.services.items() if name not in keep and whose[name] is Ownership.OURS]
    return Plan(mine, stale, status)


def url(route: Route, tag: str, settings: Settings) -> str:
    """Where the Route, or one of its tags, answers. Cluster-local ones have no name outside."""
    local = route.metadata.labels.get(names.VISIBILITY) == CLUSTER_LOCAL
    host = f"{tag}-{route.metadata.name}" if tag else route.metadata.name
    domain, scheme = (settings.cluster_domain, "http") if local else (settings.domain, settings.scheme)
    return f"{scheme}://{host}.{route.metadata.namespace}.{domain}"


def names_of(route: Route) -> list[str]:
    """The Route's own name and one for each tag."""
    tags = dict.fromkeys(target.tag for target in route.spec.traffic if target.tag)
    return [route.metadata.name, *(f"{tag}-{route.metadata.name}" for tag in tags)]


def _ingress(foreign: Sequence[str], traffic: Sequence[TrafficTarget], refused: str) -> marks.Mark:
    if refused:
        return marks.false("IngressReady", "FailedCreate", refused)
    if foreign:
        return marks.false("IngressReady", "NotOwned", f'There is an existing placeholder Service "{foreign[0]}" that we do not own.')
    if not traffic:
        return marks.unknown("IngressReady", "IngressNotConfigured", "Ingress has not yet been reconciled.")
    return marks.true("IngressReady")


def _placeholder(route: Route, name: str, settings: Settings) -> core.Service:
    """Labels and annotations come from the Route; those that it has lost stay, as in Knative: others write to a core Service, too. Its
    visibility does not: somebody may set that on the Service of one tag."""
    labels = {**{k: v for k, v in route.metadata.labels.items() if k != names.VISIBILITY}, names.ROUTE: route.metadata.name}
    notes = {key: value for key, value in route.metadata.annotations.items() if key not in (names.LAST_APPLIED, names.HOSTS)}
    owners = [owner.reference(route)]
    meta = ObjectMeta(name=name, namespace=route.metadata.namespace, labels=labels, annotations=notes, owner_references=owners)
    ports = [core.ServicePort(name="http", port=80, target_port=80, protocol="TCP")]
    spec = core.ServiceSpec(type="ExternalName", external_name=settings.gateway_host, session_affinity="None", ports=ports)
    return core.Service(metadata=meta, spec=spec)
