"""A function under steady load whose routes, revisions and instances change at random all the time, as a platform would change them.

Everything is real but the API server: sockets, instances that stop, a gateway that is asked before one of them does. What the gateway
decided is compared, epoch by epoch, with the split that was in force.
"""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import count, pairwise

import anyio
from anyio.abc import TaskGroup

from gateway.exchange import Exchange
from gateway.route import Backend
from kfn.api.serving import TrafficTarget
from kfn.load import RevisionKey
from tests.fakes.routed import HOST, Cluster, HttpClient, Routed, Sink, routed
from tests.fakes.upstream import Handler, Reader, Received, Upstream, Writer, ok, upstream

HOSTS = (HOST, "hello.default.svc.cluster.local", "hello.shop.org")
CLIENTS = 20


@dataclass
class Instance:
    revision: str
    server: Upstream
    killed: anyio.Event
    leaving: bool = False


@dataclass
class Told:
    """What has happened. `wrong` holds every answer that was not the right one."""

    answers: Counter[str] = field(default_factory=Counter)
    updates: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    epochs: dict[int, tuple[Backend, Counter[str]]] = field(default_factory=dict)

    # As gateway.watch.Watcher: which revision each request went to, and under which split.

    def ended(self, exchange: Exchange) -> None:
        if exchange.backend is not None and exchange.line is not None and not exchange.head.tag:
            backend = exchange.backend
            self.epochs.setdefault(id(backend), (backend, Counter()))[1][exchange.line.key.name] += 1

    def turned_away(self, peer: bytes, why: Exception) -> None:
        self.wrong.append(str(why))

    def splits_not_kept(self) -> list[str]:
        """Epochs whose requests are not what so many turns in a row would be, from whichever turn on."""
        return [f"{dict(seen)} for {backend.turns}" for backend, seen in self.epochs.values() if not _is_a_run(backend, seen)]


def _is_a_run(backend: Backend, seen: Counter[str]) -> bool:
    turns = [key.name for key in backend.turns]
    whole, rest = divmod(seen.total(), len(turns))
    base = Counter({name: times * whole for name, times in Counter(turns).items()})
    return any(base + Counter((turns + turns)[start : start + rest]) == +seen for start in range(len(turns)))


class World:
    """The cluster as it should be, and the changes to it."""

    def __init__(self, cluster: Cluster, rng: random.Random, tasks: TaskGroup) -> None:
        self.cluster = cluster
        self.rng = rng
        self.told = Told()
        self.routed: Routed
        self._tasks = tasks
        self._numbers = count(1)
        self._revisions: list[str] = []
        self._split: list[TrafficTarget] = []
        self._instances: defaultdict[str, list[Instance]] = defaultdict(list)
        self._starting: Counter[str] = Counter()
        self._others = count(1)

    # What the platform does.

    async def new_revision(self) -> None:
        """Make before break: it has an instance before it gets traffic."""
        name = f"hello-{next(self._numbers):05}"
        self.cluster.revision(name, container_concurrency=self.rng.choice([0, 0, 0, 3, 10]))
        self._revisions.append(name)
        await self.start(name)
        self.split(among=[name, *self.rng.sample(self._revisions[:-1][-4:], min(len(self._revisions) - 1, self.rng.randint(0, 2)))])

    def split(self, among: list[str] | None = None) -> None:
        names = among or self.rng.sample(self._revisions[-5:], self.rng.randint(1, min(4, len(self._revisions))))
        cuts = [0, *sorted(self.rng.sample(range(1, 100), len(names) - 1)), 100]
        self._split = [TrafficTarget(revision_name=name, percent=b - a) for name, (a, b) in zip(names, pairwise(cuts), strict=True)]
        self.publish()

    def publish(self) -> None:
        """Write the Route; tags, hosts and the order of its targets come and go."""
        targets = [*self._split, TrafficTarget(revision_name=self.rng.choice(self._revisions), tag="next", url=f"http://next-{HOST}")]
        self.rng.shuffle(targets)
        self.cluster.route(traffic=targets, hosts=",".join(["*.shop.org", *self.rng.choice([[], ["a.org"], ["b.org", "*.c.org"]])]))

    def another_route(self) -> None:
        self.cluster.route(f"other{next(self._others) % 7}", [TrafficTarget(revision_name=self._revisions[-1], percent=100)])

    async def start(self, revision: str) -> None:
        """An address first, then ready, as a node tells it."""
        started = anyio.Event()
        self._starting[revision] += 1
        self._tasks.start_soon(self._life, revision, started)
        await started.wait()
        self._starting[revision] -= 1

    async def stop(self, instance: Instance) -> None:
        """Cordoned, drained, killed without a warning, gone: what the node does."""
        if instance.leaving:
            return
        instance.leaving = True
        port, revision = instance.server.port, instance.revision
        self._instances[revision].remove(instance)
        if self.rng.random() < 0.5:  # the slice and the question come in either order
            self.cluster.instance(port, revision, terminating=True)
        pod = f"{revision}-pod-{port}"
        if not await self.routed.gateway.drained("default", pod, 30):
            self.told.wrong.append(f"{pod} was not drained")
        instance.killed.set()
        await anyio.sleep(self.rng.random() * 0.02)
        self.cluster.remove_instance(port, revision)

    def poke(self, revision: RevisionKey, waiting: int) -> None:
        if not self._starting[revision.name]:
            self._tasks.start_soon(self.start, revision.name)

    # One change at random.

    async def change(self) -> None:
        alive = [instance for instances in self._instances.values() for instance in instances]
        kind = self.rng.choices(
            ["split", "route", "another route", "scale up", "scale down", "restart", "new revision"], [5, 3, 2, 4, 5, 3, 2]
        )[0]
        self.told.updates[kind] += 1
        if kind == "split":
            self.split()
        elif kind == "route":
            self.publish()
        elif kind == "another route":
            self.another_route()
        elif kind == "scale up" and len(alive) < 12:
            await self.start(self.rng.choice(self._revisions[-5:]))
        elif kind == "scale down" and alive:
            self._tasks.start_soon(self.stop, self.rng.choice(alive))  # to zero, too: the next request wakes it
        elif kind == "restart" and alive:
            victim = self.rng.choice(alive)
            self._tasks.start_soon(self.stop, victim)
            self._tasks.start_soon(self.start, victim.revision)
        elif kind == "new revision":
            await self.new_revision()

    async def _life(self, revision: str, started: anyio.Event) -> None:
        killed = anyio.Event()
        async with upstream(_answers(revision, self.rng)) as server:
            instance = Instance(revision, server, killed)
            self.cluster.instance(server.port, revision, ready=False)
            await anyio.sleep(self.rng.random() * 0.01)
            self.cluster.instance(server.port, revision)
            self._instances[revision].append(instance)
            started.set()
            await killed.wait()


def _answers(revision: str, rng: random.Random) -> Handler:
    async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        if rng.random() < 0.1:
            await anyio.sleep(rng.random() * 0.1)
        return ok(f"{revision} {len(request.body)}".encode())

    return answer


async def _ask(world: World, port: int, rate: float, over: anyio.Event) -> None:
    """Requests at a steady rate on one connection, whatever their answers take."""
    rng, told = world.rng, world.told
    client = await HttpClient.connect(port)
    due = anyio.current_time() + rng.random() / rate
    while not over.is_set():
        await anyio.sleep(max(0.0, due - anyio.current_time()))
        due = max(due + 1 / rate, anyio.current_time() - 1)
        body = rng.choice([None, b"", b"x" * 1000])
        headers = {"Knative_Serving_Tag": "next"} if rng.random() < 0.05 else {}
        try:
            answer = await client.ask("GET" if body is None else "POST", "/", rng.choice(HOSTS), body, **headers)
        except Exception as error:  # a connection that ended is a wrong answer, too
            told.wrong.append(repr(error))
            client = await HttpClient.connect(port)
            continue
        revision, _, size = answer.text.partition(" ")
        if answer.status != 200 or size != str(len(body or b"")):
            told.wrong.append(f"{answer.status} {answer.text}")
        told.answers[revision] += 1
    await client.close()


async def probe(seed: int, updates: int, seconds: float, rate: float) -> Told:
    """`updates` changes in `seconds`, under `rate` requests a second."""
    rng = random.Random(seed)
    cluster, sink = Cluster(), Sink()
    async with anyio.create_task_group() as instances, routed(cluster, sink) as gw:
        world = World(cluster, rng, instances)
        world.routed = gw
        assert gw.gateway.chain is not None
        gw.gateway.chain.watchers = (*gw.gateway.chain.watchers, world.told)
        sink.on_poke = world.poke
        await world.new_revision()
        await gw.until(lambda: gw.knows(HOST))
        over = anyio.Event()
        async with anyio.create_task_group() as clients:
            for _ in range(CLIENTS):
                clients.start_soon(_ask, world, gw.gateway.port, rate / CLIENTS, over)
            begin = anyio.current_time()
            for number in range(updates):
                await world.change()
                await anyio.sleep(max(0.0, begin + (number + 1) * seconds / updates - anyio.current_time()))
            over.set()
        told = world.told
        instances.cancel_scope.cancel()
    return told
