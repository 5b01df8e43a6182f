"""The way of one request, top to bottom: route, admit, wait or pick, forward. And the state that it passes: routes, lines, instances.

The state changes only by `route_changed`, `revision_changed`, `slice_changed`; a request in flight keeps what it was given.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from anyio.abc import TaskGroup

from gateway import addresses, dial, heads, policy, route, strict
from gateway.addresses import Address
from gateway.answers import Answer
from gateway.census import Census
from gateway.drain import Cordons
from gateway.early import Early
from gateway.errors import BadRequest, Refusal, RevisionGone, Stopping, UnknownHost
from gateway.exchange import Exchange
from gateway.instance import Instance
from gateway.line import Line, Shared
from gateway.observe import watch
from gateway.settings import Settings
from gateway.sides import Connection
from gateway.tls import redirect
from kfn.api import names
from kfn.api.core import EndpointSlice
from kfn.api.serving import Revision, Route
from kfn.clock import utcnow
from kfn.load import LoadSink, RevisionKey, Sample

if TYPE_CHECKING:
    from gateway.http2.pool import Pool

FORGET = 300.0  # seconds after its last request a revision that is gone loses its counts: one that a Route still names is asked for again

SPELLINGS = 10_000  # of hosts; each costs some 300 bytes


class Chain:
    def __init__(self, tasks: TaskGroup, sink: LoadSink, settings: Settings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.clock = clock
        self.shared = Shared(settings, sink, clock)
        self.shared.probe = self._probe
        self.shared.later = lambda seconds, call: asyncio.get_running_loop().call_later(seconds, call)
        self.table = route.Table()
        self.lines: dict[RevisionKey, Line] = {}
        self.active: set[Exchange] = set()  # all that are in a line or on an instance
        self.connections: set[Connection] = set()
        self.census = Census(settings.connections, settings.connections_per_client, settings.retry_after)
        self.watchers: tuple[watch.Watcher, ...] = ()  # told of every request's end; empty, they cost one look
        self.refused: defaultdict[tuple[int, str], int] = defaultdict(int)  # by status and reason, where no revision is concerned
        self.routes_changed_at = 0.0  # Unix time
        self.stopping = False
        self.closed = False
        self._cordons = Cordons(clock)
        self._early = Early(clock)
        self._tasks = tasks
        self._routes: dict[tuple[str, str], Route] = {}
        self._slices: dict[RevisionKey, dict[str, tuple[Address, ...]]] = {}
        self._turns: defaultdict[tuple[str, str], count[int]] = defaultdict(count)
        self._found: tuple[dict[bytes, route.Backend], dict[bytes, route.Backend]] = ({}, {})  # as spelled outside and inside
        self._looked = clock()  # when everybody's load was last asked for

    # One request.

    def handle(self, exchange: Exchange) -> None:
        head = exchange.head
        try:
            local = exchange.client.local
            backend = exchange.backend = self._found[local].get(head.host) or self._find(head.host, local)
            if head.probe:
                hashed = ((b"K-Network-Hash", head.probe_hash),) if head.probe_hash else ()
                exchange.answer(Answer(200, "OK", head.probe, fields=hashed))
                return
            if self.settings.redirect and head.proto == b"http" and self._is_public(head.host):
                exchange.answer(redirect.to_https(head, self.settings.redirect))
                return
            turns = self._tagged(exchange, backend) if head.tag or backend.tag else backend.turns
            key = turns[0] if len(turns) == 1 else turns[next(self._turns[backend.route]) % len(turns)]
            line = self.lines.get(key) or self._line(key)
            exchange.enter(line)
            if 0 < self.settings.max_body < head.length:
                exchange.request_too_large(self.settings.max_body)
                return
        except Refusal as why:
            exchange.refuse(why)
            return
        self.admit(exchange, line)

    def admit(self, exchange: Exchange, line: Line) -> None:
        """A place on an instance, or one in the line, or a refusal."""
        try:
            instance = line.admit(exchange, exchange.tried or ())
        except Refusal as why:
            exchange.refuse(why)
            return
        if instance is not None:
            exchange.go(instance)
        else:
            exchange.wait()

    def dial(self, exchange: Exchange, instance: Instance) -> None:
        if instance.shared is not None:
            instance.shared.want(exchange, self)
        elif not self.closed:
            self._tasks.start_soon(dial.for_exchange, self, exchange, instance)

    def open_shared(self, pool: "Pool") -> None:
        """One more connection for those that wait in the pool."""
        if not self.closed:
            self._tasks.start_soon(pool.dial, self)

    def count(self, why: Refusal, line: Line | None) -> None:
        """The gateway answers for itself."""
        if line is None:
            self.refused[why.status, type(why).__name__] += 1
        else:
            line.meter.refuse(why.status, type(why).__name__)

    def turned_away(self, peer: bytes, why: Refusal) -> None:
        """What a client sent did not even become a request."""
        self.count(why, None)
        if self.watchers:
            watch.turned_away(self.watchers, peer, why)

    @staticmethod
    def wall_clock() -> float:
        """Unix time, to compare with what an instance says of its own start."""
        return utcnow().timestamp()

    # What the API says.

    def route_changed(self, old: Route | None, new: Route | None) -> None:
        if old is not None:
            self._routes.pop((old.metadata.namespace, old.metadata.name), None)
        if new is not None:
            self._routes[new.metadata.namespace, new.metadata.name] = new
        elif old is not None:
            self._turns.pop((old.metadata.namespace, old.metadata.name), None)
        self.routes_changed_at = self.wall_clock()
        self.table = route.replaced(self.table, old, new) or route.build(self._routes.values())
        self._found = ({}, {})

    def revision_changed(self, old: Revision | None, new: Revision | None) -> None:
        meta = (new or old).metadata  # type: ignore[union-attr]  # an informer never calls with neither
        line = self._line(RevisionKey(meta.namespace, meta.name))
        line.set_policy(None if new is None else policy.of(new))
        self._forget(line)

    def slice_changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        meta = (new or old).metadata  # type: ignore[union-attr]
        key = RevisionKey(meta.namespace, meta.labels.get(names.REVISION, ""))
        slices = self._slices.setdefault(key, {})
        if new is None:
            slices.pop(meta.name, None)
        else:
            found = slices[meta.name] = addresses.of(new)
            self._early.confirm(key, found)
        self._placed(key)

    def starting(self, key: RevisionKey, address: Address) -> None:
        """The autoscaler has seen where a pod starts, before a slice says so."""
        if not any(address.pod == known.pod for found in self._slices.get(key, {}).values() for known in found):
            self._early.add(key, address)
            self._slices.setdefault(key, {})
            self._placed(key)

    def not_starting(self, key: RevisionKey, pod: str) -> None:
        if self._early.drop(key, pod):
            self._placed(key)

    def cordon(self, namespace: str, pod: str) -> None:
        """Nothing new goes to this pod from now on, whatever its slice says."""
        self._cordons.add(namespace, pod)
        for key, slices in self._slices.items():
            if key.namespace == namespace and any(address.pod == pod for found in slices.values() for address in found):
                self._place(key)

    # Now and then.

    def keep_time(self) -> None:
        """Look for requests whose time is over."""
        now = self.clock()
        for exchange in [e for e in self.active if e.due <= now]:
            exchange.overdue(now)

    def sweep(self) -> None:
        """Close connections that idle: clients' and our own."""
        now = self.clock()
        for connection in list(self.connections):
            connection.overdue(now)
        forgotten: list[Line] = []
        for line in self.lines.values():
            for instance in line.instances.values():
                if instance.idle or instance.shared is not None:
                    instance.expire(now, self.settings.upstream_idle)
            if not line.known and line.forgettable and now - line.meter.last > FORGET:
                forgotten.append(line)
        for line in forgotten:
            self.lines.pop(line.key, None)
            line.end()
        for key in self._early.expired():
            self._placed(key)
        for namespace in self._cordons.expired():
            for key in [key for key in self._slices if key.namespace == namespace]:
                self._place(key)

    def samples(self) -> list[Sample]:
        now = self.clock()
        looked, self._looked = self._looked, now
        awake = [line for line in self.lines.values() if not line.meter.quiet]  # where there are many, nearly all sleep
        found = (line.meter.sample(line.key, len(line.waiting), now, looked) for line in awake)
        return [sample for sample in found if sample is not None]

    # The end.

    def refuse_waiting(self) -> None:
        for exchange in [e for e in self.active if e.instance is None]:
            exchange.refuse(Stopping())

    def abort(self) -> None:
        """Close everything at once."""
        self.closed = True
        for transport in [c.transport for c in self.connections] + [e.client.transport for e in self.active]:
            transport.abort()
        for line in self.lines.values():
            for instance in line.instances.values():
                instance.forget()

    # Inside.

    def _is_public(self, host: bytes) -> bool:
        """Not a name that only the cluster's own clients use."""
        return self.table.find(route.normal(host), local=False) is not None

    def _place(self, key: RevisionKey) -> None:
        """Tell a line where its instances are."""
        known = [*self._slices[key].values(), self._early.of(key)]
        self._line(key).set_addresses(addresses.merged(known, self._cordons.of(key.namespace)))

    def _placed(self, key: RevisionKey) -> None:
        """The same, where some may have gone."""
        self._place(key)
        if not self._slices[key] and not self._early.of(key):
            del self._slices[key]
        self._forget(self._line(key))

    def _line(self, key: RevisionKey) -> Line:
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = Line(key, self.shared)
        return line

    def _forget(self, line: Line) -> None:
        if line.forgettable:
            self.lines.pop(line.key, None)
            line.end()

    def _probe(self, line: Line, instance: Instance) -> None:
        if self.closed:
            return
        instance.probing = True
        self._tasks.start_soon(dial.probing, self, line, instance)

    def _find(self, spelled: bytes, local: bool) -> route.Backend:
        """What a host means, as somebody spells it. It is kept, unless strangers could fill the memory with spellings."""
        if spelled and not strict.host(spelled):
            raise BadRequest("The request's Host is not one host's name.")
        host = route.normal(spelled)
        backend = self.table.find(host, local=local)
        if backend is None:
            raise UnknownHost(self._unknown(host))
        found = self._found[local]
        if len(spelled) <= heads.LONGEST_HOST:
            if len(found) >= SPELLINGS:
                found.clear()
            found[spelled] = backend
        return backend

    def _tagged(self, exchange: Exchange, backend: route.Backend) -> tuple[RevisionKey, ...]:
        """A request that names a tag, by its host or by header: who may take it, and what its instance is told of that."""
        asked = exchange.head.tag
        if asked[:1] == b"@":  # in no tag
            return self._pinned(exchange, backend, asked[1:].decode("latin-1"))
        turns, fields = route.by_tag(backend, asked) if self.settings.tag_header else (backend.turns, route.tag_fields(asked))
        exchange.head = heads.with_fields(exchange.head, fields)
        if turns is not backend.turns:
            exchange.backend = route.Backend(backend.route, turns, asked.decode("latin-1"))  # the tag's, for logs and traces
        return turns

    def _pinned(self, exchange: Exchange, backend: route.Backend, revision: str) -> tuple[RevisionKey, ...]:
        """A request from inside that names one Revision of the Service, whether it gets traffic or not: a pipeline's run keeps to it."""
        if not exchange.client.local:
            return backend.turns
        key = RevisionKey(backend.route[0], revision)
        line = self.lines.get(key)
        if line is None or not line.known or line.policy.service != backend.route[1]:
            raise RevisionGone(f"Service {backend.route[1]} has no Revision {revision[:253]} any more.")
        exchange.backend = route.Backend(backend.route, (key,))
        return exchange.backend.turns

    def _unknown(self, host: str) -> str:
        if not host:
            return "The request has no Host."
        near = self.table.near(host) if self.settings.suggest else []
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        return f"No function has the host {host[:253]}.{hint}"
