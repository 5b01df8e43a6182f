"""Keeps one object in the API server equal to a value that changes: always the newest is written, values in between are skipped."""

import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from kfn.kube.errors import KubeError, NotFound

log = logging.getLogger(__name__)

T = TypeVar("T")


class Mirror(Generic[T]):
    """`set` returns at once; a task of `tasks` writes, and tries again for as long as the server cannot be reached.

    With `after` (seconds) it lets values gather first: for what nobody waits for while an instance starts.
    """

    def __init__(self, tasks: TaskGroup, what: str, write: Callable[[T], Awaitable[None]], *, after: float = 0.0) -> None:
        self._tasks = tasks
        self._what = what
        self._after = after
        self._write = write
        self._wanted: list[T] = []
        self._idle = anyio.Event()
        self._idle.set()

    def set(self, value: T) -> None:
        self._wanted = [value]
        if self._idle.is_set():
            self._idle = anyio.Event()
            self._tasks.start_soon(self._run)

    async def settled(self, limit: float = 5.0) -> None:
        """Wait until the newest value is written, at most `limit` seconds."""
        with anyio.move_on_after(limit):
            await self._idle.wait()

    async def _run(self) -> None:
        delay = 0.05
        try:
            while self._wanted:
                if self._after:
                    await anyio.sleep(self._after)
                value = self._wanted[-1]
                try:
                    await self._write(value)
                except NotFound:
                    pass  # deleted meanwhile: nothing to keep equal
                except KubeError as error:
                    log.warning("%s: %s; trying again in %.2g s", self._what, error, delay)
                    await anyio.sleep(delay)
                    delay = min(delay * 2, 5.0)
                    continue
                delay = 0.05
                if self._wanted and self._wanted[-1] is value:
                    self._wanted = []
        finally:
            self._idle.set()
