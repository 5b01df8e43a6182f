"""The `LoadSink` of a gateway whose autoscaler is another process: one lasting `POST /load` that samples and pokes go out on, and
on which the autoscaler says where pods that are waited for start.

Both calls return at once. A poke leaves in the same turn of the event loop. While the autoscaler is away, the reports of the last
minute are kept, with the time that they are of, and pokes of what still waits; both are sent as soon as it is back, so that one
that has restarted knows the load as if it had been there.
"""

import asyncio
import logging
import random
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

import anyio

from gateway.load.wire import Wire
from gateway.observe.exposition import family, sample
from gateway.settings import Settings
from kfn import load_wire
from kfn.load import RevisionKey, Sample

log = logging.getLogger(__name__)

RETRY_FIRST = 0.05  # seconds; doubled up to `Settings.load_retry`


def check(url: str) -> SplitResult:
    """The URL's parts. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is not an http or https URL")
    _ = parts.port  # raises for one that is no number
    return parts


class Hears(Protocol):
    """Who is told what the autoscaler says: the `Gateway`."""

    def starting(self, revision: RevisionKey, pod: str, host: str, port: int, *, http2: bool) -> None: ...

    def gone(self, revision: RevisionKey, pod: str) -> None: ...

    def in_flight(self, revision: RevisionKey) -> Mapping[str, int]: ...


class Reporter:
    """Reports as `gateway`. `token` is asked for at each connection, because it may be replaced."""

    hears: Hears | None = None

    def __init__(self, url: str, token: Callable[[], str], gateway: str, settings: Settings) -> None:
        parts = check(url)
        self.url = url
        self.dropped = 0  # samples that were never told
        self._host, self._tls = parts.hostname or "", parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._authority, self._path = parts.netloc.rpartition("@")[2], parts.path.rstrip("/") + load_wire.PATH
        self._token = token
        self._gateway = gateway
        self._settings = settings
        self._wire: Wire | None = None
        self._kept: deque[tuple[float, Sequence[Sample]]] = deque()
        self._kept_samples = 0
        self._waiting: dict[RevisionKey, int] = {}  # what was poked for, and waits still

    # The LoadSink.

    def poke(self, revision: RevisionKey, waiting: int) -> None:
        self._waiting[revision] = waiting
        if self._wire is not None and self._wire.open:
            self._wire.send(load_wire.poke(revision, waiting))

    def report(self, samples: Sequence[Sample]) -> None:
        for one in samples:
            if one.waiting:
                self._waiting[one.revision] = one.waiting
            else:
                self._waiting.pop(one.revision, None)
        self._kept.append((asyncio.get_running_loop().time(), samples))
        self._kept_samples += len(samples)
        while len(self._kept) > self._settings.load_reports or self._kept_samples > self._settings.load_samples:
            gone = len(self._kept.popleft()[1])
            self._kept_samples -= gone
            self.dropped += gone
        self._flush()

    # The connection.

    @property
    def connected(self) -> bool:
        """An autoscaler has taken us in, and answers."""
        return self._wire is not None and self._wire.accepted

    def page(self) -> str:
        """Its lines on the page of metrics."""
        connected, dropped = "kfn_gateway_autoscaler_connected", "kfn_gateway_load_samples_dropped_total"
        return (
            family(connected, "gauge", "1: an autoscaler takes this gateway's reports.")
            + sample(connected, "", int(self.connected))
            + family(dropped, "counter", "Samples of load that no autoscaler was there for.")
            + sample(dropped, "", self.dropped)
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the connection while the block runs. At its end what can still be told is told."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def _run(self) -> None:
        pause = RETRY_FIRST
        said = ""
        while True:
            why, had = await self._connection()
            if had:
                log.info("the connection to the autoscaler at %s ended: %s", self.url, why)
                pause, said = RETRY_FIRST, ""
            if why != said:
                log.warning("the autoscaler at %s is away, load is kept meanwhile: %s", self.url, why)
                said = why
            await anyio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - so that gateways do not all come at once
            pause = min(pause * 2, self._settings.load_retry)

    async def _connection(self) -> tuple[str, bool]:
        """One connection, until it ends. Returns why it ended, and whether an autoscaler had taken us in."""
        try:
            head = self._head(self._token())
            context = ssl.create_default_context() if self._tls else None
            with anyio.fail_after(self._settings.connect):
                _, wire = await asyncio.get_running_loop().create_connection(
                    lambda: Wire(head, self._tell_all, self._settings.load_silence, self._heard), self._host, self._port, ssl=context
                )
        except TimeoutError:
            return f"no connection within {self._settings.connect:g} s", False
        except (OSError, UnicodeError) as error:
            return str(error), False
        self._wire = wire
        log.debug("connected to the autoscaler at %s", self.url)
        self._tell_all()  # in case it has been quick
        try:
            why = await wire.ended()
        finally:
            self._wire = None
            if wire.accepted:
                with anyio.move_on_after(1.0, shield=True):
                    await wire.close()
            wire.abort()
        return why, wire.accepted

    def _head(self, token: str) -> bytes:
        if any(ord(c) < 33 or ord(c) > 126 for c in token):
            raise OSError("the autoscaler's token has characters that no header can carry")
        lines = [
            f"POST {self._path} HTTP/1.1",
            f"host: {self._authority}",
            f"authorization: Bearer {token}",
            f"{load_wire.GATEWAY}: {self._gateway}",
            "content-type: application/x-ndjson",
            "transfer-encoding: chunked",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def _tell_all(self) -> None:
        """The other side listens, or listens again: what it has missed, and what waits now."""
        self._flush()
        for revision, waiting in self._waiting.items():
            if self._wire is not None and self._wire.open:
                self._wire.send(load_wire.poke(revision, waiting))

    def _heard(self, message: load_wire.Downward) -> None:
        if self.hears is None:
            return
        revision = RevisionKey(message.namespace, message.revision)
        if isinstance(message, load_wire.Starting):
            self.hears.starting(revision, message.pod, message.host, message.port, http2=message.http2)
        elif isinstance(message, load_wire.Gone):
            self.hears.gone(revision, message.pod)
        elif self._wire is not None and self._wire.open:
            self._wire.send(load_wire.busy(message.number, self.hears.in_flight(revision)))

    def _flush(self) -> None:
        """Send what is kept, as long as the other side takes it."""
        now = asyncio.get_running_loop().time()
        while self._kept and self._wire is not None and self._wire.open:
            at, samples = self._kept.popleft()
            self._kept_samples -= len(samples)
            for line in load_wire.reports(samples, now - at):
                self._wire.send(line)
