"""The function's server: listens, gives each exchange to the handler in a task of its own, ends gracefully.

Read `run` first. HTTP is in `protocol` and `exchange`, the handler's kind in `kinds`, the process around it in `main`.
"""

import asyncio
import gc
import json
import logging
import os
import signal
import socket
from collections.abc import Coroutine, Iterable
from time import time

from kfn.function import trace
from kfn.function.errors import Disconnected, RequestError
from kfn.function.exchange import Exchange
from kfn.function.kinds.base import Application
from kfn.function.logs import RequestLog
from kfn.function.protocol import Connection
from kfn.function.settings import Settings

PROBLEM = ((b"content-type", b"application/problem+json"),)
HEALTH = {b"/health/liveness": "alive", b"/health/readiness": "ready"}
SWEEP = 10.0  # seconds between looks for silent connections
SETTLE = 0.02  # seconds in which a request that has already arrived is still taken after SIGTERM
CLIENT_CLOSED = 499  # in the log only: the client went away first

log = logging.getLogger("kfn.function")


class Server:
    """One function, listening."""

    def __init__(self, settings: Settings, application: Application, times: dict[str, float], tasks: asyncio.TaskGroup) -> None:
        self.settings = settings
        self.stopping = False
        self.connections: set[Connection] = set()
        self._application = application
        self._times = times
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._log = RequestLog(self._loop) if settings.request_log else None
        self._told_start = False
        self._answers: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self, sock: socket.socket, stop: asyncio.Event) -> None:
        """Serve until `stop`, then finish what has begun, within the drain timeout."""
        listener = await self._loop.create_server(lambda: Connection(self, self._loop), sock=sock)
        self._times["ready"] = time()
        gc.freeze()
        gc.enable()
        self._tell_ready(sock.getsockname()[1])
        sweeper = self._tasks.create_task(self._sweep(), name="sweep")
        try:
            await stop.wait()
            await asyncio.sleep(SETTLE)
            self.stopping = True
            listener.close()
            for connection in tuple(self.connections):
                connection.close_idle()
            try:
                async with asyncio.timeout(self.settings.drain_timeout):
                    await self._idle.wait()
            except TimeoutError:
                log.warning("stopped with %d requests unfinished after %g s", len(self._answers), self.settings.drain_timeout)
        finally:
            sweeper.cancel()
            for connection in tuple(self.connections):
                connection.close_idle()
            await asyncio.sleep(0)  # let the transports send what they hold
            for connection in tuple(self.connections):
                connection.abort()
            for task in tuple(self._answers):
                task.cancel()
            if self._log is not None:
                self._log.flush()

    # For the connections

    def serve(self, exchange: Exchange) -> "asyncio.Task[None] | None":
        """Answer in a task of its own."""
        task = self._tasks.create_task(self._answer(exchange))
        self._answers.add(task)
        self._idle.clear()
        task.add_done_callback(self._answered)
        return task

    def _answered(self, task: "asyncio.Task[None]") -> None:
        self._answers.discard(task)
        if not self._answers:
            self._idle.set()

    def refuse(self, exchange: Exchange, error: RequestError) -> None:
        problem(exchange, error.status, error.title, str(error))
        if self._log is not None:
            self._log.add(time(), "warning", b"-", b"-", error.status, time() - exchange.arrived, None)

    def extra_headers(self, exchange: Exchange) -> Iterable[bytes]:
        """The start times, once, on the first answer of the handler (docs/runtime-contract.md)."""
        if self._told_start or exchange.trace is None:
            return ()
        self._told_start = True
        told = ", ".join(f"{name}={at:.6f}" for name, at in self._times.items())
        return (f"kfn-start: {told}\r\n".encode(),)

    # One request

    async def _answer(self, exchange: Exchange) -> None:
        path = exchange.target.partition(b"?")[0]
        what = HEALTH.get(path)
        if what is not None:
            await self._health(exchange, what)
        elif probe := dict(exchange.headers).get(b"k-network-probe"):
            exchange.respond(200, (), probe)
        else:
            await self._call(exchange, path)

    async def _call(self, exchange: Exchange, path: bytes) -> None:
        at = trace.begin(dict(exchange.headers))
        exchange.trace = at
        trace.current.set(at)
        level, status = "info", 0
        try:
            await self._application(exchange)
        except RequestError as error:
            level = "warning"
            exchange.keep_alive = exchange.keep_alive and exchange.body_complete  # the rest of it is not worth reading
            self._fail(exchange, error.status, error.title, str(error))
        except Disconnected:
            level, status = "warning", CLIENT_CLOSED
            exchange.abort()
        except asyncio.CancelledError:
            level, status = "warning", CLIENT_CLOSED
            self._fail(exchange, 503, "Service Unavailable", "The function was stopped before it had answered.")
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            level, status = "error", 0 if not exchange.status else 500
            log.error("the handler failed: %s: %s", type(error).__name__, error, exc_info=error)
            self._fail(exchange, 500, "Internal Server Error", "The function failed; its log has the reason.")
        if self._log is not None:
            now = time()
            self._log.add(now, level, exchange.method, path, status or exchange.status, now - exchange.arrived, at)

    def _fail(self, exchange: Exchange, status: int, title: str, detail: str) -> None:
        """Say so if nothing was said yet; otherwise cut the response off, so that it is not taken for a whole one."""
        if exchange.disconnected or exchange.complete:
            return
        if exchange.status and not exchange.withdraw():
            exchange.abort()
            return
        problem(exchange, status, title, detail)

    async def _health(self, exchange: Exchange, what: str) -> None:
        try:
            good, message = await self._application.health(what)
        except Exception as error:
            log.error("%s() failed: %s: %s", what, type(error).__name__, error, exc_info=error)
            good, message = False, f"{what}() failed"
        if what == "ready" and self.stopping:
            good, message = False, "stopping"
        exchange.respond(200 if good else 503, ((b"content-type", b"text/plain; charset=utf-8"),), message.encode())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            for connection in tuple(self.connections):
                connection.expire(self._loop.time())

    def _tell_ready(self, port: int) -> None:
        if self.settings.ready_fd is None:
            return
        line = json.dumps({"ready": True, "port": port, "times": self._times}) + "\n"
        try:
            os.write(self.settings.ready_fd, line.encode())
            os.close(self.settings.ready_fd)
        except OSError as error:
            log.warning("KFN_READY_FD %d cannot be written: %s", self.settings.ready_fd, error)


def problem(exchange: Exchange, status: int, title: str, detail: str) -> None:
    """An error as application/problem+json (RFC 9457)."""
    body: dict[str, object] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if exchange.trace is not None:
        body["traceId"] = exchange.trace.trace_id
    exchange.respond(status, PROBLEM, json.dumps(body, ensure_ascii=False).encode())


def bind(settings: Settings) -> socket.socket:
    """The listening socket; without KFN_HOST on every interface, IPv6 and IPv4."""
    host = settings.host
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
    else:
        family, host = (socket.AF_INET6, "::") if socket.has_dualstack_ipv6() else (socket.AF_INET, "0.0.0.0")  # noqa: S104 - the contract
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if settings.host else 0)
    try:
        sock.bind((host, settings.port))
        sock.listen(1024)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


async def serve(settings: Settings, application: Application, times: dict[str, float]) -> None:
    """Start the function, serve until SIGTERM or SIGINT, stop it."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def stop_soon(*_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)

    # Not loop.add_signal_handler, which looks at all 64 signals: half a millisecond of a forked child's three.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop_soon)
    if await _unless(stop, application.start()):
        return
    times["imported"] = time()
    sock = bind(settings)
    async with asyncio.TaskGroup() as tasks:
        await Server(settings, application, times, tasks).run(sock, stop)
    try:
        async with asyncio.timeout(settings.drain_timeout):
            await application.stop()
    except TimeoutError:
        log.warning("the function's stop() did not end within %g s", settings.drain_timeout)


async def _unless(stop: asyncio.Event, start: "Coroutine[object, object, None]") -> bool:
    """Run `start` to its end; True if `stop` came first."""
    starting = asyncio.ensure_future(start)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if starting.done():
        starting.result()
        return False
    starting.cancel()
    return True
