"""The zygotes of this node: one for each warmth that a Deployment uses, and one plain one that runs commands."""

import logging
import os
import sys
from collections.abc import Iterable
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

from embedded.node.process import Warmth
from embedded.node.zygote import Zygote

log = logging.getLogger(__name__)

PLAIN = Warmth(sys.executable, (), (), (), "")
MARKER = "KFN_NODE"  # in the environment of every process of this node, so that a later run finds leftovers


class Pool:
    """Starts zygotes in `tasks` and ends those that nothing uses. Use as a context manager."""

    def __init__(self, tasks: TaskGroup, node_id: str) -> None:
        self._tasks = tasks
        self.marker = {MARKER: node_id}
        self._zygotes: dict[Warmth, tuple[Zygote, anyio.CancelScope]] = {}
        self._life: tuple[int, int] | None = None

    def __enter__(self) -> "Pool":
        self._life = os.pipe()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for fd in self._life or ():
            os.close(fd)

    def get(self, warmth: Warmth) -> Zygote:
        """The zygote of that warmth, started now if there is none."""
        if warmth not in self._zygotes:
            name = "kfn-zygote" if warmth != PLAIN else "kfn-commands"
            zygote = Zygote(warmth, name, marker=self.marker, life=self._life[0] if self._life else -1)
            scope = anyio.CancelScope()
            self._zygotes[warmth] = (zygote, scope)
            self._tasks.start_soon(self._run, zygote, scope)
        return self._zygotes[warmth][0]

    def keep(self, used: Iterable[Warmth]) -> None:
        """End every zygote that is not used and has no children; the plain one stays, it costs nothing."""
        wanted = {PLAIN, *used}
        for warmth, (zygote, scope) in list(self._zygotes.items()):
            if warmth not in wanted and not zygote.children:
                del self._zygotes[warmth]
                scope.cancel()

    @property
    def zygotes(self) -> list[Zygote]:
        return [zygote for zygote, _ in self._zygotes.values()]

    async def _run(self, zygote: Zygote, scope: anyio.CancelScope) -> None:
        with scope:
            await zygote.run()
