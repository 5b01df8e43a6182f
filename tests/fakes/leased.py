"""A keeper and gateways that lease slots from it, without sockets: the real ledger, leases and lines on a clock of their own.

Frames take time, in order on each connection; connections break, hang and come again; gateways stop, pause and die; the keeper too.
At every moment the true number of requests in each instance is known, and `most` keeps the largest.
"""

import heapq
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from gateway.addresses import Address
from gateway.instance import Instance
from gateway.line import Line, Shared
from gateway.policy import Policy
from gateway.settings import Settings
from gateway.slots import wire as slotwire
from gateway.slots.lease import Slots
from gateway.slots.ledger import Ledger
from kfn.load import RevisionKey

KEY = RevisionKey("default", "hello-00001")
TTL = 2.0


class Sink:
    def poke(self, revision: RevisionKey, waiting: int) -> None: ...

    def report(self, samples: object) -> None: ...


@dataclass(eq=False)
class Request:
    gateway: "Gateway"
    arrived: float
    lasts: float
    began: float | None = None
    ended: float | None = None
    left: bool = False
    is_event: bool = False

    def go(self, instance: Instance) -> None:
        self.gateway.begin(self, instance)

    def refuse(self, why: Exception) -> None:
        raise AssertionError(why)


class Link:
    """One connection. Both ends put frames on it; each arrives `delay` later at the earliest, in order."""

    def __init__(self, world: "World", gateway: "Gateway", number: int) -> None:
        self.world, self.gateway, self.number = world, gateway, number
        self.open = True
        self.cut = False  # frames go nowhere, and nobody is told
        self._last = {"up": 0.0, "down": 0.0}

    def send(self, way: str, deliver: Callable[[], None]) -> None:
        at = self._last[way] = max(self._last[way], self.world.now + self.world.delay())
        self.world.at(at, lambda: None if self.cut else deliver())

    def up(self, frame: slotwire.Frame) -> None:
        data = slotwire.encode(frame)
        self.world.sent += 1
        self.send("up", lambda: self.world.keeper_hears(self, slotwire.from_gateway(data)))

    def down(self, frame: slotwire.Frame) -> None:
        data = slotwire.encode(frame)
        self.send("down", lambda: self.gateway.hears(self, slotwire.from_keeper(data)))

    def close(self, by: str) -> None:
        if by == "gateway":
            self.send("up", lambda: self.world.keeper_loses(self))
        else:
            self.send("down", lambda: self.gateway.loses(self))


class Gateway:
    def __init__(self, world: "World", name: str, limit: int) -> None:
        self.world, self.name = world, name
        shared = Shared(Settings(), Sink(), lambda: world.now)
        shared.slots = self.slots = Slots(shared.settings, lambda: world.now, self.later)
        self.line = Line(KEY, shared, Policy(concurrency=limit))
        self.link: Link | None = None
        self.dead = False
        self.paused_until = 0.0
        self.inside: list[tuple[Request, Instance]] = []
        self.connect()
        self.later(world.random.random() * 0.1, self.sweep)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        def due() -> None:
            if self.dead:
                return
            if self.paused_until > self.world.now:
                self.world.at(self.paused_until, due)
            else:
                call()

        self.world.at(self.world.now + seconds, due)

    def sweep(self) -> None:
        self.slots.sweep()
        if self.link is not None and self.slots.silent:
            self.link.close("gateway")
            self.loses(self.link)
        self.later(self.slots.settings.slots_idle, self.sweep)

    def connect(self) -> None:
        ledger = self.world.ledger
        if ledger is None or self.world.partitioned is self:
            self.later(0.05, self.connect)
            return
        link = self.link = Link(self.world, self, next(self.world.numbers))
        link.up(slotwire.Hello("", self.name))
        for frame in self.slots.connected(link.up):
            link.up(frame)
        link.up(slotwire.Ready())

    def hears(self, link: Link, frame: Any) -> None:
        if self.paused_until > self.world.now:
            self.world.at(self.paused_until, lambda: self.hears(link, frame))
        elif link is self.link and not self.dead:
            self.slots.heard(frame)

    def loses(self, link: Link) -> None:
        if self.paused_until > self.world.now:
            self.world.at(self.paused_until, lambda: self.loses(link))
        elif link is self.link and not self.dead:
            self.link = None
            self.slots.lost()
            self.later(0.01, self.connect)

    def arrive(self, lasts: float) -> Request | None:
        if self.dead or self.paused_until > self.world.now:
            return None
        request = Request(self, self.world.now, lasts)
        self.world.requests.append(request)
        instance = self.line.admit(request)
        if instance is not None:
            self.begin(request, instance)
        return request

    def leave(self, request: Request) -> None:
        """Its client goes away, waiting or not."""
        request.left = True
        self.line.leave(request)
        for one in [one for one in self.inside if one[0] is request]:
            self.end(*one)

    def begin(self, request: Request, instance: Instance) -> None:
        request.began = self.world.now
        self.inside.append((request, instance))
        self.world.enter(instance.address.port)
        self.later(request.lasts, lambda: self.end(request, instance))

    def end(self, request: Request, instance: Instance) -> None:
        if (request, instance) not in self.inside:
            return
        self.inside.remove((request, instance))
        request.ended = self.world.now
        self.world.inside[instance.address.port] -= 1
        self.line.release(instance)

    def see(self, ports: list[int]) -> None:
        self.line.set_addresses({("a", p): Address("a", p, ready=True, terminating=False) for p in ports})

    def die(self) -> None:
        """kill -9: its connections are closed by the kernel, in some order, soon."""
        self.dead = True
        for _, instance in self.inside:
            self.world.at(self.world.now + self.world.delay(), lambda port=instance.address.port: self.world.leave(port))
        for request, _ in self.inside:
            request.left = True
        for request in self.line.waiting:
            request.left = True
        if self.link is not None:
            self.link.close("gateway")


@dataclass
class World:
    seed: int
    limit: int = 1
    ports: list[int] = field(default_factory=lambda: [1, 2])
    slow: float = 0.002  # the longest that a frame takes

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.now = 0.0
        self.numbers = count(1)
        self.sent = 0
        self.requests: list[Request] = []
        self.inside: defaultdict[int, int] = defaultdict(int)
        self.most: defaultdict[int, int] = defaultdict(int)
        self.gateways: list[Gateway] = []
        self.partitioned: Gateway | None = None
        self.ledger: Ledger | None = None
        self._links: dict[int, Link] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._turns = count()
        self.start_keeper(opens=0.0)

    # Time.

    def at(self, when: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._turns), call))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self._heap and self._heap[0][0] <= until:
            self.now, _, call = heapq.heappop(self._heap)
            call()
        self.now = until

    def delay(self) -> float:
        return self.random.random() * self.slow

    # The instances.

    def enter(self, port: int) -> None:
        self.inside[port] += 1
        self.most[port] = max(self.most[port], self.inside[port])

    def leave(self, port: int) -> None:
        self.inside[port] -= 1

    # The gateways and the keeper.

    def gateway(self) -> Gateway:
        gateway = Gateway(self, f"g{len(self.gateways)}", self.limit)
        gateway.see(self.ports)
        self.gateways.append(gateway)
        return gateway

    def start_keeper(self, opens: float | None = None) -> None:
        ledger = self.ledger = Ledger(TTL, self.now + TTL if opens is None else opens)

        def tick() -> None:
            if self.ledger is ledger:
                for number in ledger.tick(self.now):
                    self._links.pop(number).close("keeper")
                self._act()
                self.at(self.now + 0.025, tick)

        self.at(self.now + 0.025, tick)

    def kill_keeper(self, back: float) -> None:
        self.ledger = None
        links, self._links = self._links, {}
        for link in links.values():
            link.open = False
            link.close("keeper")
        self.at(self.now + back, self.start_keeper)

    def keeper_hears(self, link: Link, frame: Any) -> None:
        ledger, number = self.ledger, link.number
        if isinstance(frame, slotwire.Hello) and ledger is not None and link.open:
            self._links[number] = link
            for old in ledger.hello(number, frame.gateway, self.now):
                self._links.pop(old).close("keeper")
            return
        if ledger is None or self._links.get(number) is not link:
            return
        ledger.heard(number, self.now)
        match frame:
            case slotwire.Ping():
                link.down(slotwire.Pong(frame.number))
            case slotwire.Ready():
                ledger.ready(number)
                self._act()
                link.down(slotwire.Welcome(TTL))
            case slotwire.Have():
                ledger.have(number, frame)
            case slotwire.See():
                ledger.see(number, frame)
            case slotwire.Want():
                ledger.want(number, frame, self.now)
            case slotwire.Give():
                ledger.give(number, frame)
        self._act()

    def keeper_loses(self, link: Link) -> None:
        if self.ledger is not None and self._links.pop(link.number, None) is link:
            self.ledger.lost(link.number, self.now)
            self._act()

    def _act(self) -> None:
        assert self.ledger is not None
        for number, frame in self.ledger.decide(self.now):
            if number in self._links:
                self._links[number].down(frame)
        for book in self.ledger.books.values():
            assert all(sum(stake.held.get(i, 0) for stake in book.stakes.values()) == out for i, out in book.out.items())
            assert sum(run.count for run in book.queue) == sum(stake.queued for stake in book.stakes.values())
