"""The connection to NATS: stays up, publishes and waits for the acknowledgement, makes and removes streams and consumers.

Everything that nats-py gets wrong by default is set here. What is published, and when a message is settled, is the callers'.
"""

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import nats.errors

from eventing import errors, login, streams
from eventing.acks import Acks, Again
from eventing.connection import Connection
from eventing.settings import Settings

log = logging.getLogger(__name__)

_FAILURES = (nats.errors.Error, OSError, TimeoutError)
_FULL = frozenset((10023, 10047, 10077, 10122, 10167))  # limits of stream, server or account; too many requests
_TOO_LARGE = 10054
_NOT_FOUND = frozenset((10014, 10059))
_NO_MESSAGE = frozenset((10037, 10043, 10057))
_CHANGED = frozenset((10071, 10164))


@dataclass(frozen=True, slots=True)
class Published:
    sequence: int
    duplicate: bool


class Bus:
    """One connection. `epoch` grows with every reconnect: what was asked of the server before may be forgotten."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.epoch = 0
        self._up = anyio.Event()
        self._said = ""
        self._closing = False
        self.ending = False
        self._lost = anyio.Event()
        self._listeners: dict[Callable[[], object], None] = {}
        self.client = Connection()
        self._acks = Acks(self.client)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Connect, for as long as it takes, and stay so while the block runs."""
        try:
            await self._connect()
            yield
        finally:
            self._closing = True
            await self.client.end(3)

    @property
    def replicas(self) -> int:
        """Servers that each stream is kept on."""
        return self._settings.replicas

    @property
    def is_up(self) -> bool:
        return bool(self.client.is_connected)

    def on_reconnect(self, listener: Callable[[], object]) -> Callable[[], object]:
        """Call `listener` after every reconnect, until the returned function is called."""
        self._listeners[listener] = None
        return lambda: self._listeners.pop(listener, None)

    def end(self) -> None:
        """Tell whoever looks on for ever that it is over."""
        self.ending = True
        for listener in list(self._listeners):
            listener()

    async def lost(self) -> None:
        """Return when the connection is gone for good."""
        await self._lost.wait()

    async def up(self, timeout: float) -> None:
        """Wait until connected. Raises `Unavailable`."""
        if self.client.is_connected:
            return
        with anyio.move_on_after(timeout):
            while not self.client.is_connected:
                await self._up.wait()
                await anyio.sleep(0.01)  # the event may be set still, when the loss was not told yet
            return
        raise errors.Unavailable("NATS cannot be reached")

    async def publish(
        self, stream: str, subject: str, headers: dict[str, str], payload: bytes, *, id: str, timeout: float | None = None
    ) -> Published:
        """Store one message; returns once it is on disk. Raises `Unavailable`, `Full`, `TooLarge`, `Refused`.

        One whose acknowledgement was lost with the connection is sent again at once: by its id it is stored once.
        """
        return await self._store(stream, subject, {**headers, "Nats-Msg-Id": id}, payload, timeout)

    async def put(self, stream: str, subject: str, headers: dict[str, str], payload: bytes, *, last: int) -> int:
        """Store it as the only message of its subject, if what is there has the sequence `last` (0: nothing), and give its own. Raises as
        `publish` does, and `Changed` when something else is there, which may be this very message, whose acknowledgement was lost."""
        expected = {"Nats-Expected-Last-Subject-Sequence": str(last)}
        return (await self._store(stream, subject, {**headers, **expected}, payload, None)).sequence

    async def _store(self, stream: str, subject: str, headers: dict[str, str], payload: bytes, timeout: float | None) -> Published:
        end = anyio.current_time() + (self._settings.publish_timeout if timeout is None else timeout)
        sent = {**headers, "Nats-Expected-Stream": stream}
        while True:
            await self.up(end - anyio.current_time())
            left = max(0.05, end - anyio.current_time())
            try:
                answer = _read(await self._acks.publish(subject, payload, sent, left))
            except Again:
                continue
            except _FAILURES as error:
                raise _unanswered(error, left) from None
            return Published(int(answer.get("seq", 0)), bool(answer.get("duplicate")))

    async def ensure_stream(self, wanted: streams.Config) -> None:
        """Create the stream, or change what differs. Raises `BusError`."""
        name = wanted["name"]
        try:
            current = (await self.api(f"STREAM.INFO.{name}"))["config"]
        except errors.NoStream:
            await self.api(f"STREAM.CREATE.{name}", wanted)
            log.info("created stream %s", name)
            return
        differing = streams.changes(wanted, current)
        if differing:
            await self.api(f"STREAM.UPDATE.{name}", {**current, **differing})
            log.info("changed stream %s: %s", name, ", ".join(sorted(differing)))

    async def delete_stream(self, name: str) -> None:
        try:
            await self.api(f"STREAM.DELETE.{name}")
        except errors.NoStream:
            return

    async def purge(self, stream: str, subject: str) -> None:
        try:
            await self.api(f"STREAM.PURGE.{stream}", {"filter": subject})
        except errors.NoStream:
            return

    async def delete_consumer(self, stream: str, name: str) -> None:
        try:
            await self.api(f"CONSUMER.DELETE.{stream}.{name}")
        except errors.NoStream:
            return

    async def consumer_info(self, stream: str, name: str) -> dict[str, Any]:
        return await self.api(f"CONSUMER.INFO.{stream}.{name}")

    async def api(self, call: str, body: Any = None) -> dict[str, Any]:
        """One request of JetStream's API. Raises `BusError`."""
        await self.up(self._settings.publish_timeout)
        payload = json.dumps(body).encode() if body is not None else b""
        return await self._request(f"$JS.API.{call}", payload, 5.0, None)

    async def send(self, subject: str, payload: bytes = b"", reply: str = "") -> None:
        """Publish without waiting: acknowledgements, pulls. One that is lost is made good by redelivery."""
        try:
            await self.client.publish(subject, payload, reply=reply)
        except (nats.errors.Error, OSError) as error:
            log.debug("not sent to %s: %s", subject, error)

    async def confirm(self, subject: str, payload: bytes, timeout: float) -> None:
        """As `send`, but return when the server has taken it in. Raises `Unavailable`."""
        try:
            await self.client.request(subject, payload, timeout=timeout)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise errors.Unavailable(f"NATS: {error}") from error

    async def _request(self, subject: str, payload: bytes, timeout: float, headers: dict[str, str] | None) -> dict[str, Any]:
        try:
            return _read((await self.client.request(subject, payload, timeout=timeout, headers=headers)).data)
        except _FAILURES as error:
            raise _unanswered(error, timeout) from None

    async def _connect(self) -> None:
        settings = self._settings
        self.client.tls = login.tls(settings)
        await self.client.connect(
            settings.nats_url,
            name="kfn-eventing",
            max_reconnect_attempts=-1,  # the default closes for good after two minutes
            reconnect_time_wait=0.1,
            connect_timeout=5,
            ping_interval=10,  # the default notices a dead peer after four minutes
            pending_size=8 << 20,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_reconnect,
            closed_cb=self._on_close,
            **login.options(settings),
        )
        await self._acks.start()
        self._up.set()

    async def _on_error(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        if said != self._said:  # it comes with every attempt
            self._said = said
            log.warning("NATS: %s", said)

    async def _on_disconnect(self) -> None:
        if not self._closing and self._up.is_set():
            self._up = anyio.Event()
            log.warning("NATS: connection lost, connecting again")

    async def _on_reconnect(self) -> None:
        self.epoch += 1
        self._said = ""
        self._up.set()
        log.info("NATS: connected again")
        self._acks.again()
        for listener in list(self._listeners):
            listener()

    async def _on_close(self) -> None:
        if not self._closing:
            log.error("NATS: the connection was closed for good")
            self._lost.set()


def _read(data: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(data)
    if "error" in answer:
        raise _translated(answer["error"])
    return answer


def _unanswered(error: BaseException, timeout: float) -> errors.BusError:
    if isinstance(error, nats.errors.MaxPayloadError):
        return errors.TooLarge("the event is larger than the NATS server accepts")
    if isinstance(error, nats.errors.NoRespondersError):
        return errors.Unavailable("JetStream does not answer: it is starting, has no such stream, or its disk is full")
    if isinstance(error, TimeoutError):
        return errors.Unavailable(f"NATS did not acknowledge within {timeout:.3g} s: it is overloaded, or its disk is full")
    return errors.Unavailable(f"NATS: {error}")


def _translated(error: dict[str, Any]) -> errors.BusError:
    code, text = int(error.get("err_code") or 0), str(error.get("description") or "refused")
    if code in _NOT_FOUND:
        return errors.NoStream(text)
    if code in _NO_MESSAGE:
        return errors.NoMessage(text)
    if code in _CHANGED:
        return errors.Changed(text)
    if code == _TOO_LARGE:
        return errors.TooLarge(f"the event is larger than its Broker accepts: {text}")
    if code in _FULL or int(error.get("code") or 0) == 429:
        return errors.Full(text)
    if int(error.get("code") or 0) >= 500:
        return errors.Unavailable(text)
    return errors.Refused(text)
