"""One queue of keys, one reconcile function: the loop that every controller here shares. Level-based: a key goes in,
nothing about the event does. What to do for a key is the caller's; how often, how many at once and when again is here."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from kfn.kube import errors

log = logging.getLogger(__name__)

AWAY = 5.0  # seconds at most until the next try, when it was the API server that did not answer


@dataclass(frozen=True, slots=True)
class Done:
    """The object is as it should be; look again after so many seconds, if any."""

    again_after: float | None = None


class Terminal(Exception):
    """Retrying cannot help; wait for the object to change."""


Reconcile = Callable[[str], Awaitable[Done]]


class Keys:
    """A set of dirty keys; a key that is being worked on is never handed out twice at once."""

    def __init__(self) -> None:
        self._dirty: dict[str, None] = {}
        self._soon: set[str] = set()
        self._busy: set[str] = set()
        self._changed = anyio.Event()

    def __len__(self) -> int:
        return len(self._dirty | dict.fromkeys(self._soon))

    def add(self, key: str, *, after: float = 0.0) -> None:
        """With `after` (seconds) more of the same gather first: for news of which several come at once, and that nobody waits for."""
        if not after:
            self._dirty[key] = None
            self._wake()
        elif key not in self._dirty and key not in self._soon:
            self._soon.add(key)
            asyncio.get_running_loop().call_later(after, self._due, key)

    def _due(self, key: str) -> None:
        self._soon.discard(key)
        self.add(key)

    async def take(self) -> str:
        while True:
            for key in self._dirty:
                if key not in self._busy:
                    del self._dirty[key]
                    self._busy.add(key)
                    return key
            await self._changed.wait()

    def done(self, key: str) -> None:
        self._busy.discard(key)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class _Later:
    """The one pending look at each key: what the last pass said. A timer, not a task, and none for a key whose object is gone:
    waits may be minutes long, and thousands of objects may come and go meanwhile."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def set(self, key: str, seconds: float | None) -> None:
        """None: no look before the object changes."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if seconds is not None:
            self._timers[key] = asyncio.get_running_loop().call_later(seconds, self._due, key)

    def close(self) -> None:
        for key in tuple(self._timers):
            self.set(key, None)

    def _due(self, key: str) -> None:
        del self._timers[key]
        self._keys.add(key)


async def run(keys: Keys, reconcile: Reconcile, *, workers: int = 4, backoff: float = 0.5, backoff_max: float = 60.0) -> None:
    """Work on keys for ever. A failure is retried after `backoff` seconds, doubling up to `backoff_max`; a Conflict,
    which only says that the object changed meanwhile, is retried soon and quietly."""
    failures: dict[str, int] = {}

    later = _Later(keys)

    async def worker() -> None:
        while True:
            key = await keys.take()
            try:
                result = await reconcile(key)
            except Terminal as error:
                failures.pop(key, None)
                later.set(key, None)
                log.error("giving up on %s: %s", key, error)
            except Exception as error:
                n = failures[key] = failures.get(key, 0) + 1
                if isinstance(error, errors.Conflict) and n <= 3:
                    later.set(key, 0.02 * n)
                else:
                    log.warning("reconcile %s failed (%d): %s", key, n, error, exc_info=not isinstance(error, errors.KubeError))
                    pause = min(backoff * 2 ** min(n - 1, 20), backoff_max)
                    if isinstance(error, errors.Unreachable):
                        pause = min(pause, AWAY) * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all come at once
                    later.set(key, pause)
            else:
                failures.pop(key, None)
                later.set(key, result.again_after)
            finally:
                keys.done(key)

    try:
        async with anyio.create_task_group() as tasks:
            for _ in range(workers):
                tasks.start_soon(worker)
    finally:
        later.close()
