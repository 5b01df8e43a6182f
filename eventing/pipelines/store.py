"""What a Pipeline keeps on the bus: plans, records, start data, outputs, tasks. Each is one message of a subject of its own.

Only the record is ever written again, and only over the one that it was worked out from; everything else is stored once, and whoever
comes second finds it there. Every method raises `BusError`.
"""

import json
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import anyio

from eventing import errors, stored
from eventing.bus import Bus
from eventing.pipelines import state
from eventing.pipelines.advance import Task, Timer
from eventing.pipelines.names import Runs, plan, plans, stream
from eventing.pipelines.state import Run
from eventing.stored import Stored

AT_ONCE = 32  # messages read or written side by side
LATELY = 8 << 20  # bytes of outputs that are kept in memory
LOOKED_AT = 2000  # records that one page looks at
RETRIES = "Kfn-Retries"


@dataclass(frozen=True, slots=True)
class Kept:
    """A record, the sequence that it was stored with, and when."""

    run: Run
    sequence: int
    at: float


class Store:
    """Of one Pipeline."""

    def __init__(self, bus: Bus, namespace: str, name: str) -> None:
        self._bus, self.namespace, self.name = bus, namespace, name
        self.stream = stream(namespace, name)
        self.runs = Runs(namespace, name)
        self._lately: OrderedDict[str, bytes] = OrderedDict()  # outputs that were stored by us: the next step wants them at once
        self._room = LATELY

    async def record(self, run: str) -> Kept | None:
        found = await stored.last(self._bus, self.stream, self.runs.record(run))
        return Kept(state.loads(found.data), found.sequence, found.at.timestamp()) if found else None

    async def save(self, run: Run, over: int) -> int:
        """The sequence of it; raises `Changed` if another record is there than the one with the sequence `over`."""
        data = state.dumps(run)
        try:
            return await self._bus.put(self.stream, self.runs.record(run.id), {}, data, last=over)
        except errors.Changed:
            found = await stored.last(self._bus, self.stream, self.runs.record(run.id))
            if found is not None and found.data == data:
                return found.sequence  # it is ours, and its acknowledgement was lost; or somebody came to the very same
            raise

    async def put_start(self, run: str, data: bytes, headers: dict[str, str]) -> None:
        if not await self._once(self.runs.start(run), data, headers):
            await self.put_again(run, 0)  # it was stored long ago, perhaps, and nobody looks any more

    async def start(self, run: str) -> Stored | None:
        return await stored.last(self._bus, self.stream, self.runs.start(run))

    async def put_again(self, run: str, retries: int) -> None:
        """Have the run looked at from time to time, anew."""
        await self._once(self.runs.again(run, f"{retries}-{secrets.token_hex(4)}"), b"", {RETRIES: str(retries)})

    async def put_output(self, run: str, task: Task, data: bytes) -> None:
        """The first that is stored counts."""
        subject = self.runs.output(run, task)
        if await self._once(subject, data, {}):
            self._lately[subject] = data
            self._room -= len(data)
            while self._room < 0 or len(self._lately) > 1024:
                self._room += len(self._lately.popitem(last=False)[1])

    async def output(self, run: str, task: Task) -> bytes | None:
        subject = self.runs.output(run, task)
        if (known := self._lately.get(subject)) is not None:
            return known
        found = await stored.last(self._bus, self.stream, subject)
        return found.data if found else None

    async def outputs(self, run: str, tasks: list[Task]) -> list[bytes | None]:
        found: list[bytes | None] = [None] * len(tasks)
        limit = anyio.Semaphore(AT_ONCE)

        async def one(number: int, task: Task) -> None:
            async with limit:
                found[number] = await self.output(run, task)

        async with anyio.create_task_group() as group:
            for number, task in enumerate(tasks):
                group.start_soon(one, number, task)
        return found

    async def put_due(self, run: str, due: list[Task | Timer]) -> None:
        """Tasks and timers, those that are there already left as they are."""
        limit = anyio.Semaphore(AT_ONCE)
        failed: list[errors.BusError] = []

        async def one(what: Task | Timer) -> None:
            async with limit:
                try:
                    if isinstance(what, Timer):
                        await self._once(self.runs.timer(run, what.step, what.round), b"", {})
                    else:
                        told = {"step": what.step, "round": what.round, "index": what.index}
                        await self._once(self.runs.task(run, what), json.dumps(told).encode(), {})
                except errors.BusError as error:
                    failed.append(error)

        if len(due) == 1:
            await one(due[0])
        else:
            async with anyio.create_task_group() as group:
                for what in due:
                    group.start_soon(one, what)
        if failed:
            raise failed[0]

    async def put_plan(self, generation: int, spec: bytes) -> None:
        await self._once(plan(self.namespace, self.name, generation), spec, {})

    async def plan(self, generation: int) -> bytes | None:
        found = await stored.last(self._bus, self.stream, plan(self.namespace, self.name, generation))
        return found.data if found else None

    async def plans(self) -> AsyncIterator[Stored]:
        """Every plan that is kept, oldest first."""
        async for one in self._walk(plans(self.namespace, self.name)):
            yield one

    async def records(self, first: int = 1, last: int = 0) -> AsyncIterator[Stored]:
        """The records of all runs, or of those between two sequences; that which was changed last at the end."""
        async for one in self._walk(self.runs.records, first):
            if last and one.sequence > last:
                return
            yield one

    async def starts(self) -> AsyncIterator[Stored]:
        """What started runs, oldest first."""
        async for one in self._walk(self.runs.starts):
            yield one

    async def newest(self, limit: int, before: int, wanted: Callable[[Run], bool]) -> tuple[list[Run], int]:
        """At most so many runs, that which was changed last first, and where to go on; 0 is the newest, and the end."""
        found: list[tuple[int, Run]] = []
        state_ = (await self._bus.api(f"STREAM.INFO.{self.stream}"))["state"]
        top = min(before - 1, int(state_["last_seq"])) if before else int(state_["last_seq"])
        width, looked = 256, 0
        while top >= state_["first_seq"] and len(found) < limit and looked < LOOKED_AT:
            bottom = max(state_["first_seq"], top - width + 1)
            end = top if looked or before else 0  # what moves on meanwhile is on the first page
            window = [one async for one in self.records(bottom, end)]
            looked += len(window)
            for one in reversed(window):
                run = state.loads(one.data)
                if wanted(run) and len(found) < limit:
                    found.append((one.sequence, run))
                    bottom = one.sequence if len(found) == limit else bottom
            top, width = bottom - 1, width * 2
        return [run for _, run in found], top + 1 if top >= state_["first_seq"] else 0

    async def forget(self, run: str) -> None:
        await self._bus.purge(self.stream, self.runs.all_of(run))

    async def forget_plan(self, generation: int) -> None:
        await self._bus.purge(self.stream, plan(self.namespace, self.name, generation))

    async def _walk(self, subject: str, first: int = 1) -> AsyncIterator[Stored]:
        at = first
        while (one := await stored.following(self._bus, self.stream, subject, sequence=at)) is not None:
            yield one
            at = one.sequence + 1

    async def _once(self, subject: str, data: bytes, headers: dict[str, str]) -> bool:
        """False: something is there."""
        try:
            await self._bus.put(self.stream, subject, headers, data, last=0)
        except errors.Changed:
            return False
        return True
