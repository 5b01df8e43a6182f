"""Watches one running container: when it becomes ready, whether it stays so, and whether it must be restarted.

An instance is looked at every few milliseconds until it is ready, whatever its probe's period, because a request may be waiting.
"""

from collections.abc import Awaitable, Callable

import anyio

from embedded.node import probes
from embedded.node.settings import Settings
from kfn.api.core import Container, Probe

PERIOD = 10.0
THRESHOLD = 3

Tell = Callable[[bool, str], None]
"""(ready, why not)"""


class Health:
    """For one run of one container. `ready_line` is set when the instance says itself that it is ready."""

    def __init__(self, settings: Settings, container: Container, port: int, tell: Tell, run: probes.Run) -> None:
        self._settings = settings
        self._container = container
        self._port = port
        self._tell = tell
        self._run = run
        self.ready_line = anyio.Event()

    async def watch(self, unhealthy: Callable[[str], Awaitable[None]]) -> None:
        """Until cancelled. Calls `unhealthy(why)` once if the liveness or startup probe gives up."""
        container = self._container
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._patience)
            startup = container.startup_probe
            if startup and has_action(startup) and not await self._start_up(startup):
                await unhealthy("Startup probe failed")
                return
            if container.liveness_probe and has_action(container.liveness_probe):
                tasks.start_soon(self._alive, container.liveness_probe, unhealthy)
            await self._ready()

    async def _patience(self) -> None:
        """Say so when it lives but does not listen, first after `listen_patience`, then at doubling times."""
        waited = self._settings.listen_patience
        if not self._container.ports:
            return
        await anyio.sleep(waited)
        while await probes.connects(self._settings.address, self._port):
            self._tell(False, f"nothing listens on port {self._port} ($PORT) after {waited:g} seconds")
            await anyio.sleep(waited)
            waited *= 2

    async def _start_up(self, probe: Probe) -> bool:
        await anyio.sleep(probe.initial_delay_seconds)
        limit = (probe.period_seconds or PERIOD) * (probe.failure_threshold or THRESHOLD)
        with anyio.move_on_after(limit):
            await self._until_ok(probe)
            return True
        return False

    async def _ready(self) -> None:
        probe = self._container.readiness_probe
        explicit = probe is not None and has_action(probe)
        if not explicit and not self._container.ports:
            self._tell(True, "")
            return
        probe = probe or Probe()
        await anyio.sleep(probe.initial_delay_seconds)
        await self._until_ok(probe, own_word=probe.http_get is None and probe.exec is None)
        self._tell(True, "")
        if explicit:
            await self._stay_ready(probe)

    async def _until_ok(self, probe: Probe, *, own_word: bool = False) -> None:
        delay, good = self._settings.probe_first, 0
        report = anyio.current_time() + self._settings.listen_patience
        while True:
            if own_word and self.ready_line.is_set():
                return
            why = await self._check(probe)
            good = 0 if why else good + 1
            if good >= max(1, probe.success_threshold):
                return
            if why and not own_word and anyio.current_time() >= report:
                report = float("inf")
                self._tell(False, f"probe failed: {why}")
            with anyio.move_on_after(delay):
                if self.ready_line.is_set():
                    await anyio.sleep(delay)
                await self.ready_line.wait()
            delay = min(delay * 1.5, self._settings.probe_slowest)

    async def _stay_ready(self, probe: Probe) -> None:
        ready, failures, successes = True, 0, 0
        while True:
            await anyio.sleep(probe.period_seconds or PERIOD)
            why = await self._check(probe)
            failures, successes = (failures + 1, 0) if why else (0, successes + 1)
            if ready and failures >= (probe.failure_threshold or THRESHOLD):
                ready = False
                self._tell(False, f"Readiness probe failed: {why}")
            elif not ready and successes >= max(1, probe.success_threshold):
                ready = True
                self._tell(True, "")

    async def _alive(self, probe: Probe, unhealthy: Callable[[str], Awaitable[None]]) -> None:
        await anyio.sleep(probe.initial_delay_seconds)
        failures = 0
        while True:
            await anyio.sleep(probe.period_seconds or PERIOD)
            why = await self._check(probe)
            failures = failures + 1 if why else 0
            if failures >= (probe.failure_threshold or THRESHOLD):
                await unhealthy(f"Liveness probe failed: {why}")
                return

    async def _check(self, probe: Probe) -> str | None:
        return await probes.attempt(probe, self._container, self._settings.address, self._port, self._run)


def has_action(probe: Probe) -> bool:
    return bool(probe.http_get or probe.tcp_socket or probe.exec or probe.grpc)
