"""The workers of one supervisor: started, told what to be, started again when they die, replaced one after the other, stopped in order.

Workers are fresh processes, not forks of this one: this one has an event loop, and a fork would inherit uvloop's descriptors and
locks of threads that it does not have. That costs half a second and the memory of the imports for each, and makes a restart clean.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from gateway.fleet.channel import LINE, Answer, Asking, Gone, Task
from gateway.fleet.sums import Page
from gateway.process import Process, StartFailed

log = logging.getLogger(__name__)

START = 60.0  # seconds until a worker is ready; one that is not by then is started again
STEADY = 10.0  # seconds after which a worker that dies has not died of its start
PAUSE_FIRST, PAUSE_MOST = 0.1, 5.0  # seconds before one that dies again and again is started again
LEAVE = 2.0  # seconds for a worker to take or leave a slot
MARGIN = 10.0  # seconds beyond the drain, for what a gateway does at its end

Doors = dict[str, socket.socket]


class Worker:
    """One process. `page` is what is known of its metrics: the last that it told."""

    def __init__(self, process: asyncio.subprocess.Process, channel: Asking, slot: int) -> None:
        self.process = process
        self.channel = channel
        self.slot = slot
        self.ready = anyio.Event()
        self.gone = anyio.Event()
        self.failed = ""
        self.page = ""
        self.complete = False  # nothing will be added to that page
        self.began = anyio.current_time()

    def told(self, answer: Answer) -> None:
        """What it says without being asked: that it is ready, why it cannot be, its last numbers."""
        if answer.status != 200:
            self.failed = answer.body
        elif answer.body:
            self.page, self.complete = answer.body, True
        else:
            self.ready.set()

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


class Fleet:
    """A worker for each of `doors`, which are the slots."""

    def __init__(self, process: Process, doors: Sequence[Doors]) -> None:
        # The delay is kept here, before any worker is told to stop.
        self._process = replace(process, gateway=replace(process.gateway, stop_delay=0.0))
        self._doors = doors
        self._fds = [{name: sock.fileno() for name, sock in one.items()} for one in doors]
        self._tasks: TaskGroup
        self.slots: list[Worker | None] = [None] * len(doors)
        self.workers: set[Worker] = set()  # those that have been replaced and still finish something, too
        self.restarts = 0
        self.stopping = False
        self.ended = Page()  # what workers that are gone had counted

    @property
    def ready(self) -> bool:
        return not self.stopping and all(self._is_ready(slot) for slot in range(len(self.slots)))

    async def run(self, tasks: TaskGroup) -> None:
        """Start every worker, and return when all are ready; `tasks` keeps them so. Raises StartFailed."""
        self._tasks = tasks
        for slot in range(len(self.slots)):
            self.slots[slot] = await self._start(slot)
        for worker in list(self.workers):
            if not await self._becomes_ready(worker):
                raise StartFailed(worker.failed or f"worker {worker.slot} ended before it was ready, or was not ready in {START:g} s")
        for slot, first in enumerate(self.slots):
            assert first is not None
            tasks.start_soon(self._keep, slot, first)

    async def replace_all(self) -> None:
        """A new worker for each slot, one after the other: it accepts before the old one stops, so that no connection is refused."""
        for slot in range(len(self.slots)):
            if self.stopping:
                return
            new = await self._start(slot)
            if not await self._becomes_ready(new):
                log.error("worker %d is not replaced: the new one does not start: %s", slot, new.failed or "it ended")
                new.signal(signal.SIGKILL)
                return
            old, self.slots[slot] = self.slots[slot], new
            self._tasks.start_soon(self._keep, slot, new)
            if old is not None:
                old.signal(signal.SIGTERM)
        log.info("every worker has been replaced")

    async def stop(self) -> None:
        """Accept nothing more, let every worker finish what it has, within the drain."""
        self.stopping = True
        async with anyio.create_task_group() as tasks:
            for worker in self.workers:
                tasks.start_soon(self._leaves, worker, worker.slot)
        for doors in self._doors:
            for sock in doors.values():
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)  # however many processes still have it open
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        with anyio.move_on_after(self._process.gateway.drain + MARGIN):
            for worker in list(self.workers):
                await worker.gone.wait()
        self.kill()
        for worker in list(self.workers):
            await worker.gone.wait()

    def kill(self) -> None:
        for worker in self.workers:
            worker.signal(signal.SIGKILL)

    # One worker.

    async def _start(self, slot: int) -> Worker:
        ours, theirs = socket.socketpair()
        fds = [fd for doors in self._fds for fd in doors.values()]
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "gateway.fleet.worker", str(theirs.fileno()), str(os.getpid()),
                pass_fds=[theirs.fileno(), *fds], start_new_session=True,  # a terminal's Ctrl-C is for the supervisor alone
            )  # fmt: skip
        channel = Asking(*await asyncio.open_unix_connection(sock=ours, limit=LINE))
        channel.tell(Task(self._process, slot, self._fds))
        worker = Worker(process, channel, slot)
        self.workers.add(worker)
        self._tasks.start_soon(self._follow, worker)
        return worker

    async def _follow(self, worker: Worker) -> None:
        """Hear what it says until it ends."""
        try:
            await worker.channel.run(worker.told)
            await worker.process.wait()
        finally:
            self.workers.discard(worker)
            self.ended.add(worker.page, counted=True)
            worker.gone.set()

    async def _becomes_ready(self, worker: Worker) -> bool:
        with anyio.move_on_after(START):
            async with anyio.create_task_group() as tasks:
                for event in (worker.ready, worker.gone):
                    tasks.start_soon(_cancel_when, event, tasks.cancel_scope)
        if not worker.ready.is_set():
            worker.signal(signal.SIGKILL)
        return worker.ready.is_set() and not worker.gone.is_set()

    async def _keep(self, slot: int, worker: Worker) -> None:
        """Whenever its worker dies, have a neighbour take its connections, and start another one. Until it is replaced on purpose."""
        pause = 0.0
        while True:
            await worker.gone.wait()
            if self.stopping or self.slots[slot] is not worker:
                return
            self.restarts += 1
            code = worker.process.returncode
            log.error("worker %d (pid %d) ended by itself with %s; it is started again", slot, worker.process.pid, code)
            neighbour = await self._taken_by_a_neighbour(slot)
            pause = 0.0 if anyio.current_time() - worker.began > STEADY else min(max(PAUSE_FIRST, pause * 2), PAUSE_MOST)
            await anyio.sleep(pause)
            if self.slots[slot] is worker:  # else it was replaced in the meantime
                self.slots[slot] = worker = await self._start(slot)
                await self._becomes_ready(worker)
            if neighbour is not None and self._is_ready(slot):
                await self._leaves(neighbour, slot)

    async def _taken_by_a_neighbour(self, slot: int) -> Worker | None:
        """Connections that wait at this slot's doors, and that come meanwhile, are not kept waiting."""
        for other in range(len(self.slots)):
            worker = self.slots[other]
            if other != slot and worker is not None and self._is_ready(other):
                with suppress(Gone):
                    await worker.channel.ask(LEAVE, take=slot)
                    return worker
        return None

    async def _leaves(self, worker: Worker, slot: int) -> None:
        with suppress(Gone):
            await worker.channel.ask(LEAVE, leave=slot)

    def _is_ready(self, slot: int) -> bool:
        worker = self.slots[slot]
        return worker is not None and worker.ready.is_set() and not worker.gone.is_set()


async def _cancel_when(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
