"""One container of one pod: find its image, start it, watch it, note how it ended, start it again after a while.

It keeps a `View` of itself up to date and tells the pod when that changes. It knows nothing of the API server.
"""

import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from embedded.node import restart
from embedded.node.errors import ImageMissing, NodeError, StartFailed
from embedded.node.health import Health
from embedded.node.logfile import LogFile, set_aside
from embedded.node.pipes import PipeReader
from embedded.node.podstatus import CREATING, View
from embedded.node.process import Exit, Launch, Process
from embedded.node.settings import Settings
from embedded.node.zygote import Zygote
from kfn.api.core import Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting
from kfn.clock import timestamp

log = logging.getLogger(__name__)

LAST_OUTPUT = 0.3  # seconds to wait for the rest of the output after the end; its group is dead by then
KILLED = 5.0  # seconds in which SIGKILL must work


@dataclass(frozen=True, slots=True)
class Start:
    """What it takes to start the container now."""

    zygote: Zygote
    launch: Launch
    port: int
    image_id: str


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the container asks of its pod. `note` records an event: (type, reason, message)."""

    prepare: Callable[[Container], Awaitable[Start]]
    changed: Callable[[], None]
    note: Callable[[str, str, str], None]
    run: Callable[[Container, list[str]], Awaitable[int]]
    oom_killed: Callable[[Container], bool]


class ContainerRunner:
    """Runs until the container is over for good or `stop` is called."""

    def __init__(self, settings: Settings, container: Container, restart_policy: str, log_path: Path, hooks: Hooks) -> None:
        self.container = container
        self.view = View(container.name, container.image)
        self.port = 0
        self.log: LogFile | None = None
        self._settings = settings
        self._policy = restart.Policy(settings.backoff_first, settings.backoff_max, settings.backoff_reset)
        self._restart_policy = restart_policy
        self._log_path = log_path
        self._hooks = hooks
        self._process: Process | None = None
        self._was_ready = False  # in this run
        self._stopping = anyio.Event()

    async def run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            start = await self._prepared()
            if start is None:
                return
            began = anyio.current_time()
            ended = await self._once(start)
            decision = restart.decide(
                self._policy, self._restart_policy, ended.exit_code, anyio.current_time() - began, failures,
                was_ready=self._was_ready, innocent=ended.orphaned,
            )  # fmt: skip
            failures = decision.failures
            if decision.wait is None or self._stopping.is_set():
                self._show(over=decision.wait is None)
                return
            await self._wait(decision.wait)
            self._show(restarts=self.view.restarts + 1)

    def retire(self) -> None:
        """`stop` will follow: what ends by itself from now on is not started again."""
        self._stopping.set()

    async def stop(self, grace: float) -> None:
        """SIGTERM now, SIGKILL to the whole group after `grace` seconds. Returns when the process is gone."""
        self._stopping.set()
        process = self._process
        if process is None or process.ended.done():
            return
        process.signal(signal.SIGTERM)
        with anyio.move_on_after(grace):
            await process.gone()
            return
        process.signal(signal.SIGKILL, group=True)
        with anyio.move_on_after(KILLED):
            await process.gone()

    async def _prepared(self) -> Start | None:
        """Get ready to start; on failure show why and try again later. None when stopped meanwhile."""
        delay, again = self._settings.pull_backoff_first, False
        while not self._stopping.is_set():
            try:
                return await self._hooks.prepare(self.container)
            except NodeError as error:
                reason = "ImagePullBackOff" if again and isinstance(error, ImageMissing) else error.reason
                self._show(state=ContainerState(waiting=ContainerStateWaiting(reason, str(error))))
                self._hooks.note("Warning", "Failed", f"{error.reason}: {error}")
                await self._sleep(delay)
                again, delay = True, min(delay * 2, self._settings.backoff_max)
        return None

    async def _once(self, start: Start) -> Exit:
        """One run of the process, from start to end."""
        self._was_ready = False
        self.log = LogFile(self._log_path, max_bytes=self._settings.log_bytes, files=self._settings.log_files)
        self.port = start.port
        health = Health(self._settings, self.container, start.port, self._told, lambda argv: self._hooks.run(self.container, argv))
        try:
            set_aside(self._log_path, self._settings.log_files)
            output = PipeReader(self.log.feed)
            ready = PipeReader(lambda data: health.ready_line.set() if b"\n" in data else None)
        except OSError as error:
            return self._failed(f"no files for it: {error}")
        try:
            process = self._process = await start.zygote.start(start.launch, output.write_fd, ready.write_fd)
            began = timestamp()
            container_id = f"kfn://{start.launch.name}-{self.container.name}-{self.view.restarts}"
            running = ContainerState(running=ContainerStateRunning(began))
            self._show(state=running, image_id=start.image_id, container_id=container_id, ready=False, started=True, problem="")
            self._hooks.note("Normal", "Started", f"Started container {self.container.name}")
            if self._stopping.is_set():
                process.signal(signal.SIGTERM)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(health.watch, self._unhealthy)
                ended = await process.gone()
                tasks.cancel_scope.cancel()
            with anyio.move_on_after(LAST_OUTPUT):
                await output.ended.wait()
        except StartFailed as error:
            return self._failed(str(error))
        finally:
            output.close()
            ready.close()
            self.log.close()
        self._show_end(ended, began, container_id)
        return ended

    def _failed(self, why: str) -> Exit:
        """It could not be started."""
        now = timestamp()
        over = ContainerStateTerminated(128, None, "StartError", why, now, now)
        self._show(state=ContainerState(terminated=over), ready=False, started=False, problem="")
        self._hooks.note("Warning", "Failed", why)
        return Exit(128)

    def _show_end(self, ended: Exit, began: str, container_id: str) -> None:
        code = ended.exit_code
        oom = ended.signal == signal.SIGKILL and self._hooks.oom_killed(self.container)
        reason = "OOMKilled" if oom else "Completed" if code == 0 else "Error"
        message = self.log.tail() if self.log and (code or oom) else ""
        over = ContainerStateTerminated(code, ended.signal or None, reason, message, began, timestamp())
        self._show(state=ContainerState(terminated=over), ready=False, started=False, problem="", container_id=container_id)
        if code and not self._stopping.is_set():
            self._hooks.note("Warning", "Exited", f"Container {self.container.name} exited with code {code}")

    async def _wait(self, seconds: float) -> None:
        """Between the end and the next start; what is shown is Kubernetes' CrashLoopBackOff."""
        terminated = self.view.state
        if seconds:
            text = f"back-off {seconds:g}s restarting failed container={self.container.name}"
            self._hooks.note("Warning", "BackOff", text)
            waiting = ContainerState(waiting=ContainerStateWaiting("CrashLoopBackOff", text))
            self._show(state=waiting, last_state=terminated if terminated.terminated else self.view.last_state)
            await self._sleep(seconds)
        elif terminated.terminated:
            self._show(state=CREATING, last_state=terminated)

    async def _sleep(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._stopping.wait()

    async def _unhealthy(self, why: str) -> None:
        self._hooks.note("Warning", "Unhealthy", why)
        self._hooks.note("Normal", "Killing", f"Container {self.container.name} failed a probe, will be restarted")
        process = self._process
        if process is not None:
            process.signal(signal.SIGTERM)
            with anyio.move_on_after(self._settings.grace):
                await process.gone()
            process.signal(signal.SIGKILL, group=True)

    def _told(self, ready: bool, problem: str) -> None:
        if problem:
            self._hooks.note("Warning", "Unhealthy", problem)
        self._was_ready = self._was_ready or ready
        self._show(ready=ready and not self._stopping.is_set(), problem=problem)

    def _show(self, **changes: object) -> None:
        fresh = replace(self.view, **changes)  # type: ignore[arg-type]
        if fresh != self.view:
            self.view = fresh
            self._hooks.changed()
