"""A durable consumer of a stream that is not ours: made if it is not there, pulled from, messages kept alive and acknowledged once done.

What is done with a message is the caller's; that nothing is worked on twice at once is ours.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup
from nats.aio.msg import Msg

from eventing import errors, streams
from eventing.pull import Puller
from eventing.sources.queues.remote import Remote
from kfn.clock import micro_timestamp

log = logging.getLogger(__name__)

ACK_WAIT = 30.0  # seconds after which another may have a message of which nothing was heard
MEASURE = 5.0  # seconds between two looks at how much waits
_REMEMBERED = 4096
_SECOND = 10**9
Key = tuple[int, float]  # sequence and time stored: a sequence alone may come again after the stream was made anew


@dataclass(slots=True)
class _Item:
    """`reply` is where the message is settled; a redelivery changes it."""

    reply: str


class Durable:
    """`bring` is given a message, an id and the time it was stored; it returns when the message is done with."""

    def __init__(self, remote: Remote, stream: str, name: str, in_flight: int, bring: Callable[[Msg, str, str], Awaitable[None]]) -> None:
        self._remote, self._stream, self._name, self._in_flight, self._bring = remote, stream, name, in_flight, bring
        self._items: dict[Key, _Item] = {}
        self._settled: OrderedDict[Key, None] = OrderedDict()
        self._tasks: TaskGroup | None = None
        self._gone = anyio.Event()
        self._puller = Puller(
            remote, stream, name, receive=self._receive, free=lambda: in_flight - len(self._items), lost=lambda: self._gone.set()
        )

    async def ensure(self, subject: str, deliver_policy: str) -> None:
        """One that is there is taken as it is, but for its filter. Raises `BusError`."""
        try:
            config = (await self._remote.consumer_info(self._stream, self._name))["config"]
        except errors.NoStream:
            await self._apply(self._new(subject, deliver_policy))
            return
        if config.get("deliver_subject"):
            raise errors.Refused("it is a push consumer; name another in spec.jetstream.durable")
        if config.get("ack_policy") != "explicit":
            raise errors.Refused("it takes no acknowledgements of single messages; name another in spec.jetstream.durable")
        if streams.filters(config) != [subject]:
            kept = {k: v for k, v in config.items() if k not in ("filter_subject", "filter_subjects")}
            await self._apply({**kept, "filter_subject": subject})

    async def run(self, waiting: Callable[[int], None]) -> None:
        """Until the consumer is gone from the server. `waiting` is told how many messages are not done with."""
        self._gone = anyio.Event()
        try:
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._puller.run)
                self._tasks.start_soon(self._keep_alive)
                self._tasks.start_soon(self._measure, waiting)
                await self._gone.wait()
                self._tasks.cancel_scope.cancel()
        finally:
            self._tasks = None
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                for item in self._items.values():
                    await self._remote.send(item.reply, b"-NAK")  # so that whoever comes next need not wait
            self._items.clear()

    def _new(self, subject: str, deliver_policy: str) -> dict[str, Any]:
        return {
            "durable_name": self._name,
            "name": self._name,
            "deliver_policy": deliver_policy,
            "ack_policy": "explicit",
            "ack_wait": int(ACK_WAIT * _SECOND),
            "max_deliver": -1,  # the server would stop without a word
            "max_ack_pending": 16 * self._in_flight,
            "replay_policy": "instant",
            "filter_subject": subject,
        }

    async def _apply(self, config: dict[str, Any]) -> None:
        call = f"CONSUMER.CREATE.{self._stream}.{self._name}"
        await self._remote.api(call, {"stream_name": self._stream, "config": config, "action": ""})
        log.info("consumer %s of stream %s was made, or changed", self._name, self._stream)

    async def _receive(self, message: Msg) -> None:
        meta = message.metadata
        key = (meta.sequence.stream, meta.timestamp.timestamp())
        if known := self._items.get(key):
            known.reply = message.reply  # the server thought we were gone; we are at it
        elif key in self._settled:
            await self._remote.send(message.reply, b"+ACK")  # our first acknowledgement was lost
        elif self._tasks is not None:
            item = self._items[key] = _Item(message.reply)
            self._tasks.start_soon(self._work, key, item, message)

    async def _work(self, key: Key, item: _Item, message: Msg) -> None:
        answer = b"-NAK" + b' {"delay": %d}' % (5 * _SECOND)
        try:
            await self._bring(message, f"{self._stream}:{key[0]}", micro_timestamp(message.metadata.timestamp))
            answer = b"+ACK"
            self._settled[key] = None
            if len(self._settled) > _REMEMBERED:
                self._settled.popitem(last=False)
        except Exception:
            log.exception("message %d of stream %s could not be sent on; it comes again", key[0], self._stream)
        await self._remote.send(item.reply, answer)
        self._items.pop(key, None)
        self._puller.more()

    async def _keep_alive(self) -> None:
        while True:
            await anyio.sleep(ACK_WAIT / 3)
            for item in list(self._items.values()):
                await self._remote.send(item.reply, b"+WPI")

    async def _measure(self, waiting: Callable[[int], None]) -> None:
        while True:
            try:
                info = await self._remote.consumer_info(self._stream, self._name)
                waiting(info["num_pending"] + info["num_ack_pending"])
            except errors.NoStream:
                self._gone.set()
            except errors.BusError as error:
                log.debug("consumer %s of stream %s: %s", self._name, self._stream, error)
            await anyio.sleep(MEASURE)
