"""A worker's life: a gateway behind its slot's doors, which answers its supervisor's questions and stops when it is told to."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import anyio
import httpx

from gateway import admin
from gateway.app import Gateway
from gateway.fleet.channel import Answer, Answering, Question, Task
from gateway.process import assembled
from kfn import groups
from kfn.observe import logs
from kfn.part import settled

log = logging.getLogger(__name__)

FAILED = 1
STREAM = 64 * 1024 * 1024


async def run(fd: int) -> int:
    """Returns the exit code."""
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=fd), limit=STREAM)
    channel = Answering(reader, writer)
    task = await channel.task()
    logs.configure(level=task.process.log_level, form=task.process.log_form)
    try:
        await _serve(channel, task)
    except Exception as error:
        why = groups.first(error)
        log.error("worker %d ends: %s", task.slot, why or type(why).__name__, exc_info=log.isEnabledFor(logging.DEBUG))
        await channel.say(Answer(0, 500, str(why) or type(why).__name__))
        return FAILED
    finally:
        writer.close()
        with anyio.move_on_after(5.0), suppress(OSError):
            await writer.wait_closed()  # the last page of numbers may be large
    return 0


async def _serve(channel: Answering, task: Task) -> None:
    async with assembled(task.process) as parts, anyio.create_task_group() as tasks:
        gateway = parts.gateway
        pages = admin.app(gateway, parts.reporter.page)
        work = Work(gateway, task, httpx.ASGITransport(pages))

        def started() -> None:
            settled()
            tasks.start_soon(channel.say, Answer(0))

        async def answer() -> None:
            await channel.run(work.answer)
            os._exit(FAILED)  # the supervisor has gone; on Linux the kernel has told us before

        tasks.start_soon(_stop_on_signals, gateway, tasks.cancel_scope)
        tasks.start_soon(answer)
        sockets = {name: socket.socket(fileno=fd) for name, fd in task.doors[task.slot].items()}
        await gateway.run(started=started, sockets=sockets)
        await channel.say(Answer(0, 200, (await work.get("/metrics")).body))
        tasks.cancel_scope.cancel()


class Work:
    """What a supervisor asks for."""

    def __init__(self, gateway: Gateway, task: Task, pages: httpx.ASGITransport) -> None:
        self._gateway = gateway
        self._task = task
        self._pages = pages
        self._taken: dict[int, Callable[[], None]] = {}

    async def answer(self, question: Question) -> Answer:
        if question.take is not None:
            await self._take(question.take)
        elif question.leave is not None:
            self._leave(question.leave)
        else:
            answer = await self.get(question.get)
            return Answer(question.number, answer.status, answer.body)
        return Answer(question.number)

    async def get(self, path: str) -> Answer:
        async with httpx.AsyncClient(transport=self._pages, base_url="http://worker", timeout=None) as http:  # noqa: S113 - who asks waits
            answer = await http.get(path)
            return Answer(0, answer.status_code, answer.text)

    async def _take(self, slot: int) -> None:
        if slot in self._taken or not self._gateway.ready:
            return
        doors = {name: socket.socket(fileno=os.dup(fd)) for name, fd in self._task.doors[slot].items()}
        self._taken[slot] = await self._gateway.accept_too(doors)

    def _leave(self, slot: int) -> None:
        if slot == self._task.slot:
            self._gateway.accept_no_more()
        leave = self._taken.pop(slot, None)
        if leave is not None:
            leave()


async def _stop_on_signals(gateway: Gateway, whole: anyio.CancelScope) -> None:
    """Once is enough: who sends signals to a whole process group, or control group, sends this one two. At once is SIGKILL."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            break
        if gateway.ready:
            gateway.stop()
        else:
            whole.cancel()
        async for _ in signals:
            pass
