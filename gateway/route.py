"""Which revision answers a host. Pure: an immutable table, built from Routes and replaced whole.

Outside, a host is known by the Route's url, by its tags' urls, and by hosts of the user's own, which may be wildcards: `*.example.com`
is every name below example.com at any depth, as in Kubernetes' Gateway API, and an exact name beats it, then the longer wildcard.
Inside, by `NAME.NS[.svc[.cluster.local]]`; only the shortest of these is stored, the longer ones are cut down to it when looked up.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import gcd
from typing import NamedTuple
from urllib.parse import urlsplit

from kfn.api import names
from kfn.api.serving import Route, TrafficTarget
from kfn.load import RevisionKey

SUFFIXES = (".svc.cluster.local", ".svc")
FEW = 500  # comparing an unknown host with more names than this would cost a stranger nothing and us much

Fields = tuple[tuple[bytes, bytes], ...]
NO_TAGS: Mapping[bytes, RevisionKey] = {}


@dataclass(frozen=True, slots=True)
class Backend:
    """Where one host's requests go. `turns` is the order in which revisions take them, repeated for ever.

    `tag` is the tag whose own host this is; `tags` is where a request to the Route's own host may ask to go by header.
    """

    route: tuple[str, str]
    turns: tuple[RevisionKey, ...]
    tag: str = ""
    tags: Mapping[bytes, RevisionKey] = field(default_factory=lambda: NO_TAGS)


class Hosts(NamedTuple):
    """Names and their backends. They are kept apart, so that no spelling of a name outside can mean one inside."""

    public: Mapping[str, Backend] = {}
    wild: Mapping[str, Backend] = {}  # `*.example.com` under example.com
    local: Mapping[str, Backend] = {}  # NAME.NS


@dataclass(frozen=True, slots=True)
class Table:
    hosts: Hosts = field(default_factory=Hosts)
    contested: frozenset[str] = frozenset()  # hosts that more than one Route claims

    def find(self, host: str, *, local: bool = True) -> Backend | None:
        """The backend of a host as `normal` gives it. Not `local`: whoever asks is outside, where cluster names mean nothing."""
        public, wild, inside = self.hosts
        found = public.get(host)
        if found is None and local:
            found = inside.get(_short(host))
        if found is None and wild:
            rest = host.partition(".")[2]
            while rest and found is None:
                found = wild.get(rest)
                rest = rest.partition(".")[2]
        return found

    def near(self, host: str) -> list[str]:
        """Known hosts that look like this one, best first."""
        if len(self.hosts.public) > FEW:
            return []
        name, _, rest = host.partition(".")
        by_name: dict[str, list[str]] = {}
        for known in self.hosts.public:
            by_name.setdefault(known.partition(".")[0], []).append(known)
        found = [name] if name in by_name else get_close_matches(name, by_name, n=3, cutoff=0.7)
        return [h for n in found for h in sorted(by_name[n], key=lambda h: (not h.endswith(rest), h))][:3]


def by_tag(backend: Backend, asked: bytes) -> tuple[tuple[RevisionKey, ...], Fields]:
    """Who takes a request on a tag's own host, or one whose header asks for a tag; and the fields that Knative adds to it.

    A tag that the Route does not have changes nothing, and the instance is told that it sees the default route. (Knative, with this
    feature on, tells it so with every request; here only where it is news.)
    """
    if backend.tag:
        return backend.turns, tag_fields(backend.tag.encode())
    chosen = backend.tags.get(asked)
    if chosen is not None:
        return (chosen,), tag_fields(asked)
    return backend.turns, (*tag_fields(asked), (b"Knative-Serving-Default-Route", b"true"))


def tag_fields(tag: bytes) -> Fields:
    return ((b"Knative-Serving-Tag", tag),) if tag else ()


def normal(host: bytes) -> str:
    """A Host header's name as the table spells it: lower case, no port, no final dot."""
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text.partition("]")[0] + "]"
    return text.partition(":")[0].removesuffix(".")


def build(routes: Iterable[Route]) -> Table:
    """The whole table. Of two Routes that claim a host, one whose own host it is beats a tag; then the elder wins."""
    found: tuple[dict[str, Backend], ...] = ({}, {}, {})
    contested: set[str] = set()
    for route in sorted(routes, key=lambda r: (r.metadata.creation_timestamp, r.metadata.namespace, r.metadata.name)):
        for mine, hosts in zip(backends(route), found, strict=True):
            for host, backend in mine.items():
                other = hosts.get(host)
                if other is not None:
                    contested.add(host)
                    if not other.tag or backend.tag:
                        continue
                hosts[host] = backend
    return Table(Hosts(*found), frozenset(contested))


def replaced(table: Table, old: Route | None, new: Route | None) -> Table | None:
    """The table after one Route changed, or None where only `build` can tell because hosts are contested."""
    if table.contested:
        return None
    result: list[Mapping[str, Backend]] = []
    for hosts, before, after in zip(table.hosts, _backends(old), _backends(new), strict=True):
        if any(host in hosts for host in after.keys() - before.keys()):
            return None
        if before or after:
            hosts = dict(hosts)
            for host in before.keys() - after.keys():
                hosts.pop(host, None)
            hosts.update(after)
        result.append(hosts)
    return Table(Hosts(*result))


def backends(route: Route) -> Hosts:
    """Every host of one Route. Without resolved traffic it has none, and is unknown."""
    namespace, name = route.metadata.namespace, route.metadata.name
    key = (namespace, name)
    public: dict[str, Backend] = {}
    local: dict[str, Backend] = {}
    tags: dict[bytes, RevisionKey] = {}
    for target in route.status.traffic:
        if not target.tag or not target.revision_name:
            continue
        revision = tags[target.tag.encode()] = RevisionKey(namespace, target.revision_name)
        backend = Backend(key, (revision,), target.tag)
        local[f"{target.tag}-{name}.{namespace}"] = backend
        _publish(public, _host(target.url), backend)
    turns = split(namespace, route.status.traffic)
    if not turns:
        return Hosts(public, {}, local)
    backend = Backend(key, turns, tags=tags or NO_TAGS)
    local[f"{name}.{namespace}"] = backend
    _publish(public, _host(route.status.url), backend)
    wild: dict[str, Backend] = {}
    for host in filter(None, route.status.annotations.get(names.HOSTS, "").split(",")):
        if host.startswith("*."):
            wild[host[2:]] = backend
        else:
            _publish(public, host, backend)
    return Hosts(public, wild, local)


def _backends(route: Route | None) -> Hosts:
    return backends(route) if route else Hosts()


def _publish(public: dict[str, Backend], host: str, backend: Backend) -> None:
    """A Route that is cluster-local says so by its url, which is then a name inside."""
    if host and not host.endswith(SUFFIXES):
        public[host] = backend


def _short(host: str) -> str:
    for suffix in SUFFIXES:
        if host.endswith(suffix):
            return host[: -len(suffix)]
    return host


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
    weights = {key: weights[key] // step for key in sorted(weights, key=str)}  # the same order, however the Route lists them
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
