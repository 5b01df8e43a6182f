"""Hosts of the user's own: which of those that a Route's annotation asks for it gets. Pure.

A host goes to the eldest Route that asks for it, as in Kubernetes' Gateway API. None may lie in the platform's own domain, where every
name belongs to the function of that name, whether it is there yet or not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controller import marks
from controller.marks import Mark
from controller.settings import Settings
from kfn.api import names
from kfn.api.annotations import hosts as parsed
from kfn.api.serving import Route

GRANTED = "HostsGranted"
CLUSTER_LOCAL = "cluster-local"


@dataclass(frozen=True, slots=True)
class Grant:
    """The hosts that the Route has, and what its condition says; None where it asks for none."""

    hosts: Sequence[str] = ()
    mark: Mark | None = None


def claimed(route: Route) -> list[str]:
    """What a Route asks for. One that is on its way out, or has no name outside, asks for nothing."""
    if route.metadata.deletion_timestamp or route.metadata.labels.get(names.VISIBILITY) == CLUSTER_LOCAL:
        return []
    return parsed(route.metadata.annotations.get(names.HOSTS, ""))


def grant(route: Route, rivals: Mapping[str, Sequence[Route]], settings: Settings) -> Grant:
    """`rivals` are all Routes that claim each of the hosts."""
    wanted = claimed(route)
    if not wanted:
        return Grant()
    domain = settings.domain.partition(":")[0]
    reserved = [host for host in wanted if _in_platform(host, domain)]
    lost = {host: elder for host in wanted if host not in reserved and (elder := _elder(route, rivals.get(host, ()))) is not None}
    had = [host for host in wanted if host not in reserved and host not in lost]
    if lost:
        said = "; ".join(f"{host} belongs to the older Route {r.metadata.namespace}/{r.metadata.name}" for host, r in lost.items())
        return Grant(had, marks.false(GRANTED, "HostTaken", said))
    if reserved:
        said = f"{', '.join(reserved)}: names in {domain} are the platform's own; take a host outside it"
        return Grant(had, marks.false(GRANTED, "HostReserved", said))
    return Grant(had, marks.true(GRANTED))


def _in_platform(host: str, domain: str) -> bool:
    """Whether the host lies in the platform's domain, or is a wildcard that covers it."""
    base = host.removeprefix("*.")
    return base == domain or base.endswith(f".{domain}") or (host != base and domain.endswith(f".{base}"))


def _elder(route: Route, rivals: Sequence[Route]) -> Route | None:
    first = min(rivals, key=_age, default=route)
    return None if _age(first) >= _age(route) else first


def _age(route: Route) -> tuple[str, str, str]:
    meta = route.metadata
    return meta.creation_timestamp, meta.namespace, meta.name
