"""Reads from one NATS server for one source, and hands each message to its carrier: a core subscription, or a stream's durable consumer.

A message of a stream is acknowledged when the sink, or the dead-letter sink, has its event; until then it is reported alive. Of a core
subscription nothing is kept anywhere: what cannot wait here is dropped, and counted.
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import anyio
import nats.errors
from nats.aio.msg import Msg

from eventing import errors
from eventing.courier import TRACE
from eventing.metrics import Metrics
from eventing.sources.carrier import Carrier, Route
from eventing.sources.queues import natsmessage
from eventing.sources.queues.durable import Durable
from eventing.sources.queues.natsmessage import Made, Message
from eventing.sources.queues.remote import Login, Remote
from kfn.clock import micro_timestamp

log = logging.getLogger(__name__)

IN_FLIGHT = 64  # messages of one source that are on their way to its sink
WAITING = 8192  # messages of a core subscription that wait here, and their bytes
WAITING_BYTES = 32 << 20
AGAIN = 5.0  # seconds before a server that refused is asked again


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read from where, and as whom; a change of it starts the pump anew. `stream` empty: a core subscription."""

    servers: tuple[str, ...]
    subject: str
    login: Login
    queue_group: str = ""
    stream: str = ""
    durable: str = ""
    deliver_policy: str = "all"


class NatsPump:
    """Runs until cancelled. `route` and `made` may be replaced at any time. `problem` is None until something is known, "" while it reads,
    else what is wrong; `changed` is called when it changes."""

    def __init__(
        self, carrier: Carrier, metrics: Metrics, reading: Reading, route: Route, made: Made, changed: Callable[[], None]
    ) -> None:  # fmt: skip
        self.reading, self.route, self.made = reading, route, made
        self.problem: str | None = None
        self._carrier, self._metrics, self._changed = carrier, metrics, changed
        self._link = self._refusal = ""

    async def run(self) -> None:
        while True:
            try:
                await self._once()
            except ValueError as error:  # the login: a changed Secret starts another pump
                self._told(link=str(error))
            except Exception:
                log.exception("%s: its reader failed; starting it again", self.route.what)
            await anyio.sleep(AGAIN)

    async def _once(self) -> None:
        """Until the connection is gone for good."""
        remote = _Counting(self.reading.servers, self.reading.login, f"kfn {self.route.key}", lambda why: self._told(link=why))
        remote.count = lambda: self._metrics.sourced(self.route, "dropped")
        async with remote.connected(), anyio.create_task_group() as tasks:
            tasks.start_soon(self._stream if self.reading.stream else self._subject, remote)
            await remote.lost()
            tasks.cancel_scope.cancel()

    async def _stream(self, remote: Remote) -> None:
        reading = self.reading
        durable = Durable(remote, reading.stream, reading.durable, IN_FLIGHT, self._bring)
        while True:
            try:
                await durable.ensure(reading.subject, reading.deliver_policy)
                self._told(refusal="")
                await durable.run(lambda waiting: self._metrics.source_lag(self.route, waiting))
            except errors.NoStream:
                self._told(refusal=f"there is no stream {reading.stream!r}; make it, or correct spec.jetstream.stream")
            except errors.BusError as error:
                self._told(refusal=f"the consumer {reading.durable!r} of stream {reading.stream!r}: {error}")
            await anyio.sleep(AGAIN)

    async def _subject(self, remote: Remote) -> None:
        places = anyio.Semaphore(IN_FLIGHT)
        async with anyio.create_task_group() as tasks:

            async def receive(message: Msg) -> None:
                await places.acquire()  # the next ones wait in the subscription
                tasks.start_soon(work, message)

            async def work(message: Msg) -> None:
                try:
                    await self._bring(message, str(uuid.uuid4()), micro_timestamp())
                finally:
                    places.release()

            while True:
                try:
                    await remote.client.subscribe(
                        self.reading.subject, queue=self.reading.queue_group, cb=receive,
                        pending_msgs_limit=WAITING, pending_bytes_limit=WAITING_BYTES,
                    )  # fmt: skip
                    await remote.client.flush()
                    self._told(refusal="")
                    await anyio.sleep_forever()
                except (nats.errors.Error, TimeoutError, OSError) as error:
                    self._told(refusal=str(error))
                    await anyio.sleep(AGAIN)

    async def _bring(self, message: Msg, id: str, time: str) -> None:
        self._metrics.sourced(self.route, "received")
        headers = message.headers or {}
        event = natsmessage.event(Message(message.subject, headers, message.data, id, time), self.made)
        await self._carrier.bring(lambda: self.route, event, {name: headers[name] for name in TRACE if headers.get(name)})

    def _told(self, *, link: str | None = None, refusal: str | None = None) -> None:
        before = self.problem
        self._link = self._link if link is None else link
        if refusal is not None:
            self._refusal = refusal
        elif link is not None and self.problem is None and not link:
            return  # connected; whether it may read is still to be seen
        self.problem = self._link or self._refusal
        if self.problem != before:
            log.log(logging.WARNING if self.problem else logging.INFO, "%s: %s", self.route.what, self.problem or "reads")
            self._changed()


class _Counting(Remote):
    count: Callable[[], None]

    def dropped(self) -> None:
        self.count()
