"""A process that a zygote forks: what it is to be, and a handle on it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Warmth:
    """What makes a zygote: two functions with equal warmth share one. `path` stands before the standard library, `deps` behind it,
    with what their `.pth` files name."""

    interpreter: str
    path: tuple[str, ...]
    imports: tuple[str, ...]
    preload: tuple[str, ...]
    entry: str
    deps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Launch:
    """One instance to fork. With `argv` it becomes that command, else the function server with `path` before sys.path."""

    name: str
    env: Mapping[str, str]
    cwd: str = ""
    path: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    cgroup: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: an exit code, or the signal that killed it. `orphaned`: because its warm parent was gone."""

    code: int
    signal: int = 0
    orphaned: bool = False

    @property
    def exit_code(self) -> int:
        """As a container reports it: 128 plus the signal."""
        return 128 + self.signal if self.signal else self.code


class Process:
    """A forked instance. `ended` is done when it is gone."""

    def __init__(self, send: Callable[[dict[str, Any]], None], key: str) -> None:
        self.pid = 0
        self.started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._send = send
        self._key = key

    async def gone(self) -> Exit:
        """How it ended. Cancelling the wait does not disturb others that wait."""
        return await asyncio.shield(self.ended)

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the process, or to its whole group. After its end this does nothing."""
        if not self.ended.done():
            self._send({"op": "signal", "id": self._key, "signal": number, "group": group})

    def settle(self, how: Exit) -> None:
        """It is gone. Said once; later words do not count."""
        if not self.started.done():
            self.started.set_result(0)
        if not self.ended.done():
            self.ended.set_result(how)
