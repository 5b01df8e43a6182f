"""Which revision answers a host. Pure: an immutable table, built from Routes and replaced whole.

A host is known by the Route's url, by its tags' urls, and by its cluster names `NAME.NS[.svc[.cluster.local]]`;
only the shortest of the latter is stored, the longer ones are cut down to it when looked up.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import gcd
from urllib.parse import urlsplit

from kfn.api.serving import Route, TrafficTarget
from kfn.load import RevisionKey

SUFFIXES = (".svc.cluster.local", ".svc")
FEW = 500  # comparing an unknown host with more names than this would cost a stranger nothing and us much


@dataclass(frozen=True, slots=True)
class Backend:
    """Where one host's requests go. `turns` is the order in which revisions take them, repeated for ever."""

    route: tuple[str, str]
    turns: tuple[RevisionKey, ...]
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    hosts: Mapping[str, Backend] = field(default_factory=dict)
    contested: frozenset[str] = frozenset()  # hosts that more than one Route claims

    def find(self, host: str) -> Backend | None:
        """The backend of a host as `normal` gives it."""
        found = self.hosts.get(host)
        if found is None:
            for suffix in SUFFIXES:
                if host.endswith(suffix):
                    return self.hosts.get(host[: -len(suffix)])
        return found

    def near(self, host: str) -> list[str]:
        """Known hosts that look like this one, best first."""
        if len(self.hosts) > FEW:
            return []
        name, _, rest = host.partition(".")
        by_name: dict[str, list[str]] = {}
        for known in self.hosts:
            if known.count(".") > 1:  # the short cluster names say nothing new
                by_name.setdefault(known.partition(".")[0], []).append(known)
        found = [name] if name in by_name else get_close_matches(name, by_name, n=3, cutoff=0.7)
        return [h for n in found for h in sorted(by_name[n], key=lambda h: (not h.endswith(rest), h))][:3]


def normal(host: bytes) -> str:
    """A Host header's name as the table spells it: lower case, no port, no final dot."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0].removesuffix(".")


def build(routes: Iterable[Route]) -> Table:
    """The whole table. Of two Routes that claim a host, one whose own host it is beats a tag; then the elder wins."""
    hosts: dict[str, Backend] = {}
    contested: set[str] = set()
    for route in sorted(routes, key=lambda r: (r.metadata.creation_timestamp, r.metadata.namespace, r.metadata.name)):
        for host, backend in backends(route).items():
            other = hosts.get(host)
            if other is not None:
                contested.add(host)
                if not other.tag or backend.tag:
                    continue
            hosts[host] = backend
    return Table(hosts, frozenset(contested))


def replaced(table: Table, old: Route | None, new: Route | None) -> Table | None:
    """The table after one Route changed, or None where only `build` can tell because hosts are contested."""
    before = backends(old) if old else {}
    after = backends(new) if new else {}
    if table.contested:
        return None
    if any(host in table.hosts for host in after.keys() - before.keys()):
        return None
    hosts = dict(table.hosts)
    for host in before.keys() - after.keys():
        hosts.pop(host, None)
    hosts.update(after)
    return Table(hosts)


def backends(route: Route) -> dict[str, Backend]:
    """Every host of one Route. Without resolved traffic it has none, and is unknown."""
    namespace, name = route.metadata.namespace, route.metadata.name
    key = (namespace, name)
    hosts: dict[str, Backend] = {}
    for target in route.status.traffic:
        if not target.tag or not target.revision_name:
            continue
        backend = Backend(key, (RevisionKey(namespace, target.revision_name),), target.tag)
        for host in (_host(target.url), f"{target.tag}-{name}.{namespace}"):
            if host:
                hosts[host] = backend
    turns = split(namespace, route.status.traffic)
    if turns:
        for host in (_host(route.status.url), f"{name}.{namespace}"):
            if host:
                hosts[host] = Backend(key, turns)
    return hosts


def split(namespace: str, traffic: Iterable[TrafficTarget]) -> tuple[RevisionKey, ...]:
    """The revisions in the order in which they take turns: any 100 in a row hold each exactly `percent` times.

    Smooth weighted round robin, so that a small share is spread out and never comes as a burst.
    """
    weights: dict[RevisionKey, int] = {}
    for target in traffic:
        if target.percent and target.revision_name:
            key = RevisionKey(namespace, target.revision_name)
            weights[key] = weights.get(key, 0) + target.percent
    if not weights:
        return ()
    step = gcd(*weights.values())
    weights = {key: weight // step for key, weight in weights.items()}
    total = sum(weights.values())
    credit = dict.fromkeys(weights, 0)
    turns: list[RevisionKey] = []
    for _ in range(total):
        for key, weight in weights.items():
            credit[key] += weight
        best = max(credit, key=lambda k: credit[k])
        credit[best] -= total
        turns.append(best)
    return tuple(turns)


def _host(url: str) -> str:
    if not url:
        return ""
    return (urlsplit(url if "//" in url else f"//{url}").hostname or "").removesuffix(".")
