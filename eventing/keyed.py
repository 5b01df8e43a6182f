"""Tasks by key, of which each is started once and stopped to its end: what runs for a Trigger or a source.

What a task does, and when another takes its place, is the caller's. A task that ends by itself keeps its key until it is stopped.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Task(Generic[T]):
    what: T
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ended: anyio.Event = field(default_factory=anyio.Event)


class Keyed(Generic[T]):
    """`tasks` is where they run. Each goes with what its owner keeps of it, a T."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._running: dict[str, _Task[T]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._running))

    def get(self, key: str) -> T | None:
        task = self._running.get(key)
        return task.what if task is not None else None

    def all(self) -> list[T]:
        return [task.what for task in self._running.values()]

    def start(self, key: str, what: T, run: Callable[[T], Awaitable[object]]) -> None:
        """Run it. Whatever had the key has been stopped before."""
        task = self._running[key] = _Task(what)
        self._tasks.start_soon(self._run, task, run)

    async def stop(self, key: str) -> T | None:
        """Return when nothing of it runs, with what it was; None if there was nothing."""
        task = self._running.pop(key, None)
        if task is None:
            return None
        task.scope.cancel()
        await task.ended.wait()
        return task.what

    async def _run(self, task: _Task[T], run: Callable[[T], Awaitable[object]]) -> None:
        try:
            with task.scope:
                await run(task.what)
        finally:
            task.ended.set()
