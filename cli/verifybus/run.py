"""The story of one run: stage, writers and nemesis together, an end of all faults, the drain, the verdict.

schedule.py and verdict.py decide; stage.py makes the objects, platform.py is the child, sink.py and streams.py say what came of events.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from cli.failures import CliError
from cli.verifybus import sink, stage, streams
from cli.verifybus.nemesis import Nemesis
from cli.verifybus.platform import Platform, running
from cli.verifybus.schedule import Fault, schedule
from cli.verifybus.sink import File, Sink
from cli.verifybus.verdict import Flow, Id, Verdict, in_order, judge
from cli.verifybus.verdict import stored as of_stream
from cli.verifybus.writers import Writers, is_marked
from eventing.bus import Bus
from eventing.errors import BusError


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen about a run. Times are seconds; `rate` is events a second, of all writers together."""

    seconds: float
    seed: int
    writers: int
    rate: float
    kinds: tuple[str, ...]
    patience: float  # how long the drain goes on without any progress


@dataclass(slots=True)
class Report:
    """What a run has to tell."""

    verdict: Verdict
    schedule: tuple[Fault, ...]
    done: list[str]
    attempts: int
    starts: int
    drained: float  # seconds from the end of faults until nothing was left to do
    left: dict[str, int] = field(default_factory=dict)  # Trigger -> events that it still had, when patience was over

    @property
    def ok(self) -> bool:
        return self.verdict.ok and not self.left


async def verify(options: Options, root: Path, say: Callable[[str], None]) -> Report:
    """Run it all below the folder `root`. Raises `CliError` if it cannot be done at all."""
    faults = schedule(options.seed, options.seconds, options.kinds)
    async with sink.listening() as sinks, running(root) as platform:
        say("deploying two functions, a broker and five triggers")
        folders, files = await stage.deploy(platform, root)
        url = await stage.subscribe(platform, sinks)
        uids = await stage.uids(platform)
        writers = Writers(url, options.writers, options.rate)
        rng = random.Random(options.seed)  # noqa: S311 (no secret)
        nemesis = Nemesis(platform, writers, files, folders, rng, say)
        say(f"{options.writers} writers, {options.rate:g} events/s in all, {len(faults)} faults in {options.seconds:g} s")
        scene = _Scene(platform, writers, sinks, files, uids)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writers.run)
            with anyio.CancelScope() as faulty:
                faulty.deadline = anyio.current_time() + options.seconds + 2 * options.patience
                async with anyio.create_task_group() as acts:
                    acts.start_soon(nemesis.run, faults)
                    await anyio.sleep(options.seconds)
            writers.end()
            if not platform.pid:  # its last start failed, which `done` says
                await platform.start()
            began = anyio.current_time()
            say(f"faults are over; {len(writers.acknowledged)} events acknowledged, waiting for all of them to arrive")
            verdict, left = await scene.drain(options.patience)
            tasks.cancel_scope.cancel()
        return Report(verdict, faults, nemesis.done, writers.attempts, platform.starts, anyio.current_time() - began, left)


@dataclass(frozen=True, slots=True)
class _Scene:
    platform: Platform
    writers: Writers
    sinks: Sink
    files: dict[str, File]
    uids: dict[str, str]

    async def drain(self, patience: float) -> tuple[Verdict, dict[str, int]]:
        """Until everything arrived and no Trigger has anything left, or nothing happens any more."""
        last, heard = None, anyio.current_time()
        async with streams.connected(self.platform) as bus:
            while True:
                try:
                    dead, left = await streams.dead_letters(bus), await streams.lags(bus, self.uids)
                except BusError as error:  # it comes back, or patience ends
                    dead, left = {}, {f"unknown ({error})": 1}
                verdict = self._judged(dead)
                quiet = len(self.writers.acknowledged) == len(self.writers.published)
                state = verdict, left, self.writers.attempts if not quiet else 0
                if state != last:
                    last, heard = state, anyio.current_time()
                if (verdict.ok and not left and quiet) or anyio.current_time() - heard > patience:
                    return await self._with_stream(bus, verdict), left
                await anyio.sleep(0.5)

    def _judged(self, dead: dict[str, Counter[Id]]) -> Verdict:
        marked = frozenset(id for id in self.writers.published if is_marked(id))
        seen = {name: Counter(file.read()) for name, file in self.files.items()}
        seen |= {"answers": Counter(self.sinks.seen[sink.ANSWERS]), "fails": Counter(self.sinks.seen[sink.FAILS])}
        none: Counter[Id] = Counter()
        flows = [
            Flow("always", seen["always"], dead.get("always", none)),
            Flow("asks", seen["asks"], dead.get("asks", none)),
            Flow("answers", seen["answers"], dead.get("answers", none), excused=dead.get("asks", none).keys()),
            Flow("fails", seen["fails"], self.sinks.seen[sink.DEAD] + dead.get("fails", none), doomed=marked),
            Flow("ordered", self.sinks.seen[sink.ORDERED], dead.get("ordered", none)),
        ]
        order = in_order(self.sinks.attempts, self.platform.starts - 1)
        return judge(self.writers.published, self.writers.acknowledged, flows, order)

    async def _with_stream(self, bus: Bus, verdict: Verdict) -> Verdict:
        try:
            found = await streams.stored(bus)
        except BusError as error:
            raise CliError(f"the stream cannot be read at the end: {error}") from error
        unstored, twice = of_stream(self.writers.acknowledged, found.events, streams.WINDOW)
        _, replied = of_stream(set(), found.replies, streams.WINDOW)
        return replace(verdict, unstored=unstored if found.whole else (), twice=(*twice, *(f"reply to {one}" for one in replied)))
