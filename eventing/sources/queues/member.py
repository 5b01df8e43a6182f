"""One member of a Kafka consumer group. The only file that imports aiokafka, and imported only where a KafkaSource is there.

Records of a partition are handed on one at a time, or many at once; an offset is committed when everything before it is done with. A
partition that is taken away has a moment to finish what is in work; what is not done by then is not committed, and its next owner has it.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka import errors as kafka
from anyio.abc import TaskGroup

from eventing.sources.queues.offsets import Progress

log = logging.getLogger(__name__)
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells each attempt on a broker that is away; we tell the first

IN_FLIGHT = 64  # records on their way to the sink
BATCH = 64  # records of a partition that are taken out of the library's buffer at once
POLL = 0.5  # seconds
COMMIT = 1.0  # seconds between commits
MEASURE = 5.0  # seconds between looks at how much waits; it tells as well whether the brokers answer
PATIENCE = 10.0  # seconds for one answer of theirs
GRACE = 5.0  # seconds for what is in work when its partition is taken away
REBALANCE = 30.0  # seconds that members have to give partitions up
SESSION = 10.0  # seconds after which a member that is silent is out
_FOR_EVER = 2_000_000_000  # milliseconds
_NONE = (TopicPartition("", 0),)  # asks for no record, and tells what is wrong with the group


class Broken(Exception):
    """The member cannot go on, and another takes its place; the message says why."""


@dataclass(slots=True)
class _Part:
    """A partition that is ours."""

    at: TopicPartition
    progress: Progress
    committed: int
    waiting: deque[ConsumerRecord] = field(default_factory=deque)
    scopes: set[anyio.CancelScope] = field(default_factory=set)  # of the records in work


class Member(ConsumerRebalanceListener):  # type: ignore[misc]
    """`bring` returns when a record is done with; `told` is told what is wrong, or "" while it reads; `waiting` how many are not done."""

    def __init__(
        self, topics: Iterable[str], *, latest: bool, ordered: bool, options: Mapping[str, Any],
        bring: Callable[[ConsumerRecord], Awaitable[None]], told: Callable[[str], None], waiting: Callable[[int], None],
    ) -> None:  # fmt: skip
        self._topics, self._latest, self._ordered, self._options = sorted(topics), latest, ordered, options
        self._bring, self._told, self._waiting = bring, told, waiting
        self._parts: dict[TopicPartition, _Part] = {}
        self._wake, self._finished, self._assigned = anyio.Event(), anyio.Event(), anyio.Event()
        self._busy = 0
        self._broken = ""
        self._tasks: TaskGroup | None = None
        self._consumer: AIOKafkaConsumer

    async def run(self) -> None:
        """Until cancelled. Raises `Broken`."""
        self._consumer = AIOKafkaConsumer(
            **self._options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # of what was deleted before it was read; where a new group begins is told below
            isolation_level="read_committed",
            max_poll_interval_ms=_FOR_EVER,  # a slow sink is no dead member: the heartbeat tells that
            rebalance_timeout_ms=int(REBALANCE * 1000),
            session_timeout_ms=int(SESSION * 1000),
            metadata_max_age_ms=30_000,
            fetch_max_bytes=16 << 20,
        )
        self._consumer.subscribe(self._topics, listener=self)
        try:
            with anyio.fail_after(3 * PATIENCE):
                await self._consumer.start()
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._commit_often)
                self._tasks.start_soon(self._measure)
                self._tasks.start_soon(self._read)
        except (kafka.KafkaConnectionError, TimeoutError) as error:
            raise Broken(f"no broker answers at {', '.join(self._options['bootstrap_servers'])}") from error
        except kafka.KafkaError as error:
            raise Broken(_text(error)) from error
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(PATIENCE):
                await self._commit(self._parts.values())
                await self._consumer.stop()

    # What we have to read, as the group decides.

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        parts = [part for at in revoked if (part := self._parts.pop(at, None))]
        for part in parts:
            part.waiting.clear()
        with anyio.move_on_after(GRACE):
            while any(part.scopes for part in parts):
                self._finished = anyio.Event()
                await self._finished.wait()
        for part in parts:
            for scope in part.scopes:
                scope.cancel()
        await self._commit(parts)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """aiokafka swallows what goes wrong here; nothing is read before all of it went well."""
        try:
            with anyio.fail_after(REBALANCE):
                starts = await self._starts(sorted(assigned))
        except (kafka.KafkaError, TimeoutError) as error:
            self._broken = f"where to begin cannot be found: {_text(error)}"
            self._wake.set()
            return
        self._parts = {at: _Part(at, Progress(start), start) for at, start in starts.items()}
        self._assigned.set()
        self._wake.set()

    async def _starts(self, assigned: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Where to go on. Where a new group begins is committed at once: what comes from then on is ours, whatever dies meanwhile."""
        found = {at: await self._consumer.committed(at) for at in assigned}
        new = [at for at, offset in found.items() if offset is None]
        if new:
            known = {at.topic for at in new if self._latest and await self._is_known(at.topic)}
            first, last = await self._consumer.beginning_offsets(new), await self._consumer.end_offsets(new)
            # A partition that a topic got later begins at its beginning, whatever the source said when the group was new.
            starts = {at: last[at] if self._latest and at.topic not in known else first[at] for at in new}
            for at, offset in starts.items():
                self._consumer.seek(at, offset)
            await self._consumer.commit(starts)
            found |= starts
        return found

    async def _is_known(self, topic: str) -> bool:
        """Whether the group has read it before."""
        for number in sorted(self._consumer.partitions_for_topic(topic) or ()):
            if await self._consumer.committed(TopicPartition(topic, number)) is not None:
                return True
        return False

    # Reading, and what is in work.

    async def _read(self) -> None:
        while True:
            if self._broken:
                raise Broken(self._broken)
            hungry = [at for at, part in self._parts.items() if not part.waiting]
            if not hungry or self._busy >= IN_FLIGHT:
                with anyio.move_on_after(POLL):
                    await self._wake.wait()
                self._wake = anyio.Event()
                hungry = []
            try:
                found = await self._consumer.getmany(*hungry or _NONE, timeout_ms=int(POLL * 1000) if hungry else 0, max_records=BATCH)
            except kafka.KafkaError as error:
                raise Broken(_text(error)) from error
            for at, records in found.items():
                if part := self._parts.get(at):
                    part.waiting.extend(records)
            self._begin()

    def _begin(self) -> None:
        """Put into work what may be."""
        for part in self._parts.values():
            while part.waiting and self._busy < IN_FLIGHT and not (self._ordered and part.scopes):
                record = part.waiting.popleft()
                if self._tasks is not None and part.progress.begin(record.offset):
                    self._busy += 1
                    scope = anyio.CancelScope()
                    part.scopes.add(scope)
                    self._tasks.start_soon(self._work, part, record, scope)

    async def _work(self, part: _Part, record: ConsumerRecord, scope: anyio.CancelScope) -> None:
        done = False
        try:
            with scope:
                while not done:
                    try:
                        await self._bring(record)
                        done = True
                    except Exception:
                        log.exception("%s: offset %d could not be sent on; trying again", part.at, record.offset)
                        await anyio.sleep(PATIENCE)
        finally:
            self._busy -= 1
            part.scopes.discard(scope)
            self._finished.set()
        if done:
            part.progress.done(record.offset)
            self._begin()
            self._wake.set()

    async def _commit_often(self) -> None:
        while True:
            await anyio.sleep(COMMIT)
            await self._commit(self._parts.values())

    async def _commit(self, parts: Iterable[_Part]) -> None:
        """What cannot be committed now is later, or comes again."""
        wanted = {part.at: (part, part.progress.settled) for part in parts if part.progress.settled > part.committed}
        if not wanted:
            return
        try:
            with anyio.fail_after(PATIENCE):
                await self._consumer.commit({at: settled for at, (_, settled) in wanted.items()})
        except (kafka.KafkaError, TimeoutError, ValueError) as error:
            log.info("offsets are not committed: %s", _text(error))
            return
        for part, settled in wanted.values():
            part.committed = settled

    async def _measure(self) -> None:
        """Nothing is told before the group has said what is ours: from then on nothing passes by."""
        await self._assigned.wait()
        while True:
            parts = list(self._parts.values())
            missing = [topic for topic in self._topics if not self._consumer.partitions_for_topic(topic)]
            try:
                with anyio.fail_after(PATIENCE):
                    ends = await self._consumer.end_offsets([part.at for part in parts]) if parts else {}
                self._told(f"there is no topic {missing[0]!r}, or it may not be read" if missing else "")
                self._waiting(sum(max(0, ends[part.at] - part.progress.settled) for part in parts))
            except (kafka.KafkaError, TimeoutError) as error:
                self._told(f"the brokers do not answer: {_text(error)}")
            await anyio.sleep(MEASURE)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
