"""Starts and ends what watches requests, as the settings ask for it. At the end, what is not written or sent yet has a bounded time."""

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from gateway.observe.accesslog import AccessLog
from gateway.observe.spans import Spans
from gateway.observe.watch import Watcher
from gateway.settings import Settings
from kfn.observe.lines import Lines
from kfn.observe.otel import Exporter

log = logging.getLogger(__name__)

SERVICE = "kfn-gateway"  # service.name, unless OTEL_SERVICE_NAME says otherwise


@asynccontextmanager
async def watching(settings: Settings) -> AsyncIterator[tuple[Watcher, ...]]:
    """Raises LinesError or OtelError when that which is asked for cannot be had."""
    found: list[Watcher] = []
    async with AsyncExitStack() as stack:
        if settings.access_log:
            found.append(await stack.enter_async_context(_access_log(settings)))
        if settings.tracing is not None:
            found.append(await stack.enter_async_context(_spans(settings)))
        yield tuple(found)


@asynccontextmanager
async def _access_log(settings: Settings) -> AsyncIterator[Watcher]:
    lines = Lines(settings.access_log, pause=settings.access_log_pause, most=settings.access_log_memory)
    try:
        yield AccessLog(lines, sample=settings.access_log_sample, query=settings.access_log_query)
    finally:
        await _until(lines.close(), settings.flush, f"the access log {settings.access_log}")


@asynccontextmanager
async def _spans(settings: Settings) -> AsyncIterator[Watcher]:
    exporter = Exporter(SERVICE)
    try:
        yield Spans(exporter)
    finally:
        if not await _until(exporter.close(), settings.flush, "the OpenTelemetry collector"):
            exporter.give_up()


async def _until(done: threading.Event, seconds: float, who: str) -> bool:
    """Wait for a thread's end without waiting for the thread. Also when the gateway is cancelled: this is its last word."""
    with anyio.move_on_after(seconds, shield=True):
        while not done.is_set():  # noqa: ASYNC110 - bounded, and once in a life
            await anyio.sleep(0.01)
    if not done.is_set():
        log.warning("%s did not take everything within %g s", who, seconds)
    return done.is_set()
