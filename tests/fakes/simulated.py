"""A simulated cluster in virtual time: clients, a gateway with its line, instances that take time to start and to answer.

Around the real autoscaler, which talks to the API server in memory. What a test gets is the history of what happened.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskGroup
from msgspec.structs import replace

from autoscaler.app import Autoscaler
from autoscaler.settings import Settings
from gateway.observe.account import Meter
from kfn.api import kinds, names
from kfn.api.core import Deployment, DeploymentSpec, DeploymentStatus
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Revision, RevisionSpec
from kfn.kube.client import Client
from kfn.load import RevisionKey
from tests.fakes.kube import FakeApi

KEY = RevisionKey("default", "hello-00001")


@dataclass
class Simulation:
    """One revision. `start` is how long an instance takes to be ready, `places` how many requests fit into one."""

    places: int
    start: float
    api: FakeApi = field(default_factory=FakeApi)
    settings: Settings = field(default_factory=Settings)
    instances: dict[int, int] = field(default_factory=dict)  # number to requests inside
    history: list[tuple[float, int]] = field(default_factory=list)  # (time, replicas asked for)
    waits: list[float] = field(default_factory=list)
    answered: int = 0
    last_answer: float = 0.0

    def __post_init__(self) -> None:
        self.autoscaler = Autoscaler(Client(self.api), self.settings)
        self._meter = Meter(0.0)
        self._line: list[anyio.Event] = []
        self._starting: dict[int, float] = {}
        self._numbers = 0

    @property
    def replicas(self) -> int:
        return self.api.the(kinds.DEPLOYMENT, names.deployment(KEY.name)).spec.replicas or 0

    @property
    def most(self) -> int:
        return max(n for _, n in self.history)

    @property
    def changes(self) -> int:
        return len(self.history) - 1

    async def request(self, seconds: float) -> None:
        """One request that an instance takes `seconds` for."""
        began = anyio.current_time()
        self._meter.arrive(began)
        while (at := self._free()) is None:
            turn = anyio.Event()
            self._line.append(turn)
            if not self.instances:
                self.autoscaler.poke(KEY, len(self._line))
            await turn.wait()
        self.waits.append(anyio.current_time() - began)
        self.instances[at] += 1
        await anyio.sleep(seconds)
        if at in self.instances:  # else it drained while it stopped
            self.instances[at] -= 1
        self.answered += 1
        self.last_answer = anyio.current_time()
        self._meter.leave(self.last_answer, began, 200)
        self._next()

    def _free(self) -> int | None:
        return next((n for n, inside in self.instances.items() if inside < self.places), None)

    def _next(self) -> None:
        if self._line:
            self._line.pop(0).set()

    # The cluster.

    async def run_node(self) -> None:
        """Start and stop instances as the Deployment says, ready ones after `start` seconds."""
        while True:
            await anyio.sleep(0.02)
            now = anyio.current_time()
            wanted = self.replicas
            if not self.history or self.history[-1][1] != wanted:
                self.history.append((now, wanted))
            while len(self.instances) + len(self._starting) < wanted:
                self._numbers += 1
                self._starting[self._numbers] = now + self.start
            while len(self.instances) + len(self._starting) > wanted:
                self._stop_one()
            for number in [n for n, at in self._starting.items() if at <= now]:
                del self._starting[number]
                self.instances[number] = 0
                for _ in range(self.places):
                    self._next()
            self._show(len(self.instances))

    def _stop_one(self) -> None:
        if self._starting:
            self._starting.popitem()
        else:
            del self.instances[min(self.instances, key=lambda n: self.instances[n])]

    def _show(self, ready: int) -> None:
        deployment = self.api.the(kinds.DEPLOYMENT, names.deployment(KEY.name))
        if deployment.status.ready_replicas != ready:
            self.api.put(kinds.DEPLOYMENT, replace(deployment, status=DeploymentStatus(ready_replicas=ready)))

    async def run_reports(self) -> None:
        while True:
            await anyio.sleep(1.0)
            waiting = len(self._line) if not self.instances else 0
            sample = self._meter.sample(KEY, waiting, anyio.current_time())
            if sample is not None:
                self.autoscaler.report([sample])


@asynccontextmanager
async def simulation(
    *, places: int = 10, start: float = 0.5, replicas: int = 0, **annotations: str
) -> AsyncIterator[tuple[Simulation, TaskGroup]]:
    made = Simulation(places, start)
    notes = {f"autoscaling.knative.dev/{k.replace('_', '-')}": v for k, v in annotations.items()}
    meta = ObjectMeta(name=KEY.name, namespace=KEY.namespace, annotations=notes)
    made.api.put(kinds.REVISION, Revision(metadata=meta, spec=RevisionSpec(container_concurrency=places)))
    meta = ObjectMeta(name=names.deployment(KEY.name), namespace=KEY.namespace, labels={names.REVISION: KEY.name})
    made.api.put(kinds.DEPLOYMENT, Deployment(metadata=meta, spec=DeploymentSpec(replicas=replicas)))
    async with anyio.create_task_group() as tasks:
        for run in (made.autoscaler.run, made.run_node, made.run_reports):
            tasks.start_soon(run)
        await anyio.sleep(0.1)
        yield made, tasks
        tasks.cancel_scope.cancel()


async def steady(send: Callable[[], Awaitable[None]], tasks: TaskGroup, *, rate: float, seconds: float) -> None:
    """`rate` requests a second, evenly, for so long; each on its own."""

    async def one() -> None:
        await send()

    end = anyio.current_time() + seconds
    while anyio.current_time() < end:
        tasks.start_soon(one)
        await anyio.sleep(1 / rate)
