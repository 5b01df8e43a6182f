"""When an instance counts as ready and when it is given up, in virtual time with scripted exec probes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from embedded.node.health import Health
from embedded.node.settings import Settings
from kfn.api.core import Container, ContainerPort, ExecAction, Probe

SETTINGS = Settings(Path("data"), Path("images"))
EXEC = ExecAction(command=["check"])


class Instance:
    """Answers probes as told, and notes with times what the node thinks of it."""

    def __init__(self, container: Container, well: Callable[[float], bool]) -> None:
        self.told: list[tuple[float, bool, str]] = []
        self.given_up: list[str] = []
        self.attempts: list[float] = []
        self._well = well
        self.health = Health(SETTINGS, container, 1, self._tell, self._run)

    def _tell(self, ready: bool, problem: str) -> None:
        self.told.append((anyio.current_time(), ready, problem))

    async def _run(self, argv: list[str]) -> int:
        self.attempts.append(anyio.current_time())
        return 0 if self._well(anyio.current_time()) else 1

    async def unhealthy(self, why: str) -> None:
        self.given_up.append(why)


@asynccontextmanager
async def watched(container: Container, well: Callable[[float], bool], seconds: float) -> AsyncIterator[Instance]:
    instance = Instance(container, well)
    with anyio.move_on_after(seconds):
        await instance.health.watch(instance.unhealthy)
        await anyio.sleep_forever()
    yield instance


async def test_a_container_without_ports_and_probes_is_ready_when_it_runs() -> None:
    async with watched(Container(name="c"), lambda _: True, 1) as instance:
        assert instance.told == [(0, True, "")]


async def test_a_starting_instance_is_asked_every_few_milliseconds_whatever_its_period() -> None:
    container = Container(name="c", readiness_probe=Probe(exec=EXEC, period_seconds=30))
    async with watched(container, lambda now: now >= 0.1, 2) as instance:
        [(at, ready, _)] = instance.told
        assert ready and 0.1 <= at < 0.15
        assert instance.attempts[1] == SETTINGS.probe_first


async def test_readiness_flips_after_its_threshold_and_back() -> None:
    container = Container(name="c", readiness_probe=Probe(exec=EXEC, period_seconds=10, failure_threshold=2))
    async with watched(container, lambda now: not 15 < now < 55, 100) as instance:
        assert [(round(at), ready) for at, ready, _ in instance.told] == [(0, True), (30, False), (60, True)]


async def test_the_ready_line_counts_unless_a_probe_of_its_own_was_asked_for() -> None:
    container = Container(name="c", ports=[ContainerPort(container_port=8080)], readiness_probe=Probe(exec=EXEC))
    instance = Instance(container, lambda now: now >= 1)
    instance.health.ready_line.set()
    with anyio.move_on_after(3):
        await instance.health.watch(instance.unhealthy)
    assert instance.told[0][1] and instance.told[0][0] >= 1


async def test_liveness_gives_up_once_after_its_threshold() -> None:
    container = Container(name="c", liveness_probe=Probe(exec=EXEC, period_seconds=5, failure_threshold=3, initial_delay_seconds=2))
    async with watched(container, lambda now: now < 10, 60) as instance:
        assert len(instance.given_up) == 1
        assert "Liveness probe failed: command ['check'] exited with 1" in instance.given_up[0]


async def test_a_startup_probe_bounds_the_start() -> None:
    container = Container(name="c", startup_probe=Probe(exec=EXEC, period_seconds=2, failure_threshold=5))
    async with watched(container, lambda _: False, 60) as instance:
        assert instance.given_up == ["Startup probe failed"]
        assert not any(ready for _, ready, _ in instance.told)
