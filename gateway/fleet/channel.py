"""Between a supervisor and one of its workers: a socket with lines of JSON, questions one way and answers the other.

The first line is the supervisor's `Task`; the worker's first answer, with number 0, says that it is ready, or why it cannot be.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio
import msgspec

from gateway.process import Process

LINE = 256 * 1024 * 1024  # bytes; a page of metrics of ten thousand revisions is 30 MB, and both sides are ours


class Gone(Exception):
    """The other side has ended."""


class Task(msgspec.Struct, frozen=True):
    """What a worker is to be: a gateway behind the doors of its slot. `doors` are the file descriptors of every slot's, by name."""

    process: Process
    slot: int
    doors: list[dict[str, int]]


class Question(msgspec.Struct, frozen=True):
    """`get` is a path on the admin port; `take` and `leave` are a slot, whose connections to accept from now on, or no longer."""

    number: int
    get: str = ""
    take: int | None = None
    leave: int | None = None


class Answer(msgspec.Struct, frozen=True):
    number: int
    status: int = 200
    body: str = ""


class Asking:
    """The supervisor's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._open: dict[int, asyncio.Future[Answer]] = {}
        self._number = 0
        self._gone = False

    def tell(self, task: Task) -> None:
        self._writer.write(msgspec.json.encode(task) + b"\n")

    async def run(self, first: Callable[[Answer], None]) -> None:
        """Hand answers to who waits for them, until the worker is gone. `first` gets those with number 0, which nobody asked for."""
        try:
            while line := await self._reader.readline():
                answer = msgspec.json.decode(line, type=Answer)
                waiting = self._open.pop(answer.number, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
                elif answer.number == 0:
                    first(answer)
        except (OSError, ValueError):  # a line that is cut off, because it was killed while it wrote
            pass
        finally:
            self._gone = True
            for waiting in self._open.values():
                if not waiting.done():
                    waiting.set_exception(Gone())
                    waiting.exception()  # whoever waits takes it again; nobody else need
            self._writer.close()

    async def ask(self, seconds: float, *, get: str = "", take: int | None = None, leave: int | None = None) -> Answer:
        """Raises Gone, also for a worker that does not answer in time."""
        if self._gone:
            raise Gone
        self._number += 1
        number = self._number
        waiting = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(msgspec.json.encode(Question(number, get, take, leave)) + b"\n")
            with anyio.fail_after(seconds):
                answer: Answer = await waiting
                return answer
        except (OSError, TimeoutError) as error:
            raise Gone from error
        finally:
            self._open.pop(number, None)


class Answering:
    """The worker's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def task(self) -> Task:
        return msgspec.json.decode(await self._reader.readline(), type=Task)

    async def say(self, answer: Answer) -> None:
        with suppress(OSError):
            self._writer.write(msgspec.json.encode(answer) + b"\n")
            await self._writer.drain()

    async def run(self, answer: Callable[[Question], Awaitable[Answer]]) -> None:
        """Answer until the supervisor is gone; each question in a task of its own, for some take long."""
        async with anyio.create_task_group() as tasks:

            async def one(question: Question) -> None:
                await self.say(await answer(question))

            while line := await self._reader.readline():
                tasks.start_soon(one, msgspec.json.decode(line, type=Question))
            tasks.cancel_scope.cancel()
