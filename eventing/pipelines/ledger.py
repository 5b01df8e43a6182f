"""Writes runs on: what has happened goes into the record, and what is due then is put under way, in this order.

Several may write, here and on other replicas: each decides on the record that it has read, and decides again if another one is there by
then. What happens to one run at the same time is written together. After a crash between the record and what is due, the message that
made it happen comes again, and `heal` puts under way whatever the record says.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from eventing import errors
from eventing.pipelines.advance import Happening, Task, Timer, advance, due
from eventing.pipelines.graph import Graph
from eventing.pipelines.state import Run
from eventing.pipelines.store import Kept, Store
from eventing.settle import until_stored
from kfn.clock import utcnow

REMEMBERED = 2048

Graphs = Callable[[int], Awaitable[Graph]]
"""The graph of a generation."""
Changed = Callable[[Run, Run], Awaitable[None]]
"""Called once for each record that was written here, with the one before."""


@dataclass(slots=True, eq=False)
class _Entry:
    what: Happening
    run: Run | None = None
    is_done: bool = False


@dataclass(slots=True)
class _Line:
    """What waits to be written into one run."""

    lock: anyio.Lock = field(default_factory=anyio.Lock)
    entries: list[_Entry] = field(default_factory=list)


class Ledger:
    def __init__(self, store: Store, graphs: Graphs, changed: Changed) -> None:
        self._store, self._graphs, self._changed = store, graphs, changed
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lines: dict[str, _Line] = {}

    async def begin(self, run: Run) -> Run:
        """Store the first record, unless there is one, and put under way what is due. Raises `BusError`."""
        try:
            kept = Kept(run, await self._store.save(run, 0), run.started)
        except errors.Changed:
            found = await self.read(run.id, fresh=True)
            assert found is not None, run.id
            await self.heal(found)
            return found
        self._remember(kept)
        await self._store.put_due(run.id, list(due(await self._graphs(run.generation), run)))
        return run

    async def read(self, run: str, *, fresh: bool = False) -> Run | None:
        """As we know it, which another replica may have changed; `fresh`: as it is."""
        kept = await self._load(run, fresh=fresh)
        return kept.run if kept else None

    def written(self, run: str) -> float:
        """When the record was written that was read last."""
        kept = self._kept.get(run)
        return kept.at if kept else 0.0

    async def happen(self, run: str, what: Happening) -> Run | None:
        """Write it, for as long as it takes; None if there is no such run."""
        line = self._lines.setdefault(run, _Line())
        entry = _Entry(what)
        line.entries.append(entry)
        try:
            async with line.lock:
                if not entry.is_done:
                    together = list(line.entries)
                    await self._write(run, together)
                    for one in together:
                        one.is_done = True
            return entry.run
        finally:
            line.entries = [one for one in line.entries if not (one.is_done or one is entry)]
            if not line.entries and self._lines.get(run) is line:
                del self._lines[run]

    async def heal(self, run: Run) -> None:
        """Put under way whatever is due. Raises `BusError`."""
        await self._store.put_due(run.id, list(due(await self._graphs(run.generation), run)))

    async def _write(self, id: str, entries: list[_Entry]) -> None:
        kept, fresh = await self._load(id), False
        while kept is not None:
            graph = await self._graphs(kept.run.generation)
            run, now = kept.run, utcnow().timestamp()
            for entry in entries:
                run = entry.run = advance(graph, run, entry.what, now)
            if run == kept.run and fresh:
                return
            if run != kept.run:
                sequence = await self._save(run, kept.sequence)
                if sequence:
                    self._remember(Kept(run, sequence, now))
                    await self._follow(graph, kept.run, run)
                    return
            kept, fresh = await self._load(id, fresh=True), True

    async def _save(self, run: Run, over: int) -> int:
        """0: another record is there by now."""
        saved = 0

        async def save() -> None:
            nonlocal saved
            try:
                saved = await self._store.save(run, over)
            except errors.Changed:
                saved = 0

        await until_stored(save, f"run {run.id}")
        return saved

    async def _follow(self, graph: Graph, before: Run, run: Run) -> None:
        old: set[Task | Timer] = set(due(graph, before))
        new = [what for what in due(graph, run) if what not in old]
        if new:
            await until_stored(lambda: self._store.put_due(run.id, new), f"what follows in run {run.id}")
        await self._changed(before, run)

    async def _load(self, id: str, *, fresh: bool = False) -> Kept | None:
        kept = self._kept.get(id)
        if kept is not None and not fresh:
            return kept
        found = None

        async def load() -> None:
            nonlocal found
            found = await self._store.record(id)

        await until_stored(load, f"the record of run {id}")
        if found is None:
            self._kept.pop(id, None)
            return None
        self._remember(found)
        return found

    def _remember(self, kept: Kept) -> None:
        known = self._kept.get(kept.run.id)
        if known is None or known.sequence < kept.sequence:
            self._kept[kept.run.id] = kept
        self._kept.move_to_end(kept.run.id)
        if len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
