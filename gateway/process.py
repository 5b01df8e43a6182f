"""A gateway as a process of its own: what can be chosen about it, how its parts are put together, and its life from start to end.

`run` is one process; with several workers, `fleet/workers.py` starts this same `assembled` in each. What is on the command line is `cli`'s.
"""

import contextlib
import logging
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from gateway import admin, doors
from gateway.app import Gateway
from gateway.load.report import Reporter
from gateway.settings import Settings
from kfn import groups, open_files
from kfn.kube import config as kube
from kfn.kube.client import Client
from kfn.observe import otel, web
from kfn.part import authority, settled

log = logging.getLogger(__name__)

TOKEN_VARIABLE = "KFN_AUTOSCALER_TOKEN"  # noqa: S105 - a name
SLOTS_TOKEN_VARIABLE = "KFN_SLOTS_TOKEN"  # noqa: S105
SECOND_SIGNAL = 130  # the exit code


class StartFailed(Exception):
    """A worker could not start; the message says why."""


@dataclass(frozen=True, slots=True)
class Process:
    """Everything about a gateway's processes that can be chosen. It is handed to workers as JSON; no secret is in it."""

    autoscaler: str  # URL
    token_file: str = ""  # holds its bearer token; without one, it is in the environment
    kubeconfig: str = ""  # files as in $KUBECONFIG; without any, the usual places and the pod's service account
    context: str = ""
    admin_host: str = "127.0.0.1"
    admin_port: int = 8081  # 0 picks a free one
    workers: int = 1
    log_level: str = "info"
    log_form: str = "json"
    gateway: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class Parts:
    """One gateway, ready to run, and who tells the autoscaler of it."""

    gateway: Gateway
    reporter: Reporter


def main(process: Process, say: Callable[[str], None]) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code; raises what it cannot start for, with the fix."""
    start = run
    if process.workers > 1:
        from gateway.fleet import workers  # not before it is needed: it keeps slots, and asks workers

        start = workers.run
    try:
        anyio.run(start, process, say, backend_options={"use_uvloop": True})
    except BaseExceptionGroup as group:
        raise groups.first(group) from None
    return 0


async def run(process: Process, say: Callable[[str], None]) -> None:
    """One process that does it all."""
    ready = anyio.Event()
    with contextlib.ExitStack() as stack:
        sockets = {name: stack.enter_context(web.listen(*address)) for name, address in doors.wanted(process.gateway).items()}
        asked = stack.enter_context(web.listen(process.admin_host, process.admin_port))
        async with assembled(process) as parts, anyio.create_task_group() as tasks:
            tasks.start_soon(_stop_on_signals, parts.gateway, tasks.cancel_scope)
            tasks.start_soon(_when, ready, lambda: say_ready(say, ready_line(process, sockets, port(asked))))
            async with web.serving(admin.app(parts.gateway, parts.reporter.page), sock=asked, drain=1):
                await parts.gateway.run(started=ready.set, sockets=sockets)
            tasks.cancel_scope.cancel()


@asynccontextmanager
async def assembled(process: Process) -> AsyncIterator[Parts]:
    """The constructor: a gateway that follows the API server and reports to the autoscaler while the block runs."""
    from kfn.kube.http import HttpTransport  # here, because a supervisor of workers does without it

    connections = max(10, min(process.gateway.connections, open_files.most() // 3))  # as many for instances, the rest for everything else
    settings = replace(
        process.gateway,
        connections=connections,
        tracing=otel.from_environment(os.environ),
        slots_token=os.environ.get(SLOTS_TOKEN_VARIABLE, ""),
    )
    transport = HttpTransport(kube.load(process.kubeconfig or None, process.context or None))
    try:
        reporter = Reporter(process.autoscaler, lambda: token(process), identity(), settings)
        gateway = reporter.hears = Gateway(Client(transport), reporter, settings)
        async with reporter.running():
            yield Parts(gateway, reporter)
    finally:
        with anyio.CancelScope(shield=True):
            await transport.aclose()


def token(process: Process) -> str:
    """The autoscaler's bearer token. Raises OSError that names the file or the variable."""
    if process.token_file:
        text = Path(process.token_file).read_text().strip()
        if not text:
            raise OSError(f"--autoscaler-token-file {process.token_file} is empty")
        return text
    text = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not text:
        raise OSError(f"there is no token for the autoscaler: give --autoscaler-token-file, or set {TOKEN_VARIABLE}")
    return text


def identity() -> str:
    """A name that no other gateway process has or had: the sums of load are over these."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()).strip("-")[:80] or "gateway"
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def ready_line(process: Process, sockets: Mapping[str, socket.socket], admin_port: int) -> str:
    chosen = process.gateway
    said = [f"gateway=http://{authority(chosen.host, port(sockets[doors.PUBLIC]))}"]
    if doors.TLS in sockets:
        said.append(f"https=https://{authority(chosen.host, port(sockets[doors.TLS]))}")
    if doors.LOCAL in sockets:
        said.append(f"local=http://{authority(chosen.local_host, port(sockets[doors.LOCAL]))}")
    return " ".join(["ready", *said, f"admin=http://{authority(process.admin_host, admin_port)}", f"workers={process.workers}"])


def port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


async def _when(ready: anyio.Event, do: Callable[[], None]) -> None:
    await ready.wait()
    do()


def say_ready(say: Callable[[str], None], line: str) -> None:
    settled()
    try:
        say(line)
    except OSError as error:
        log.warning("nobody reads the line that says that the gateway is ready: %s", error)


async def _stop_on_signals(gateway: Gateway, whole: anyio.CancelScope) -> None:
    """The first signal stops in order, a second one at once."""
    stopping = False
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if stopping:
                log.warning("second signal: leaving at once")
                sys.stderr.flush()
                os._exit(SECOND_SIGNAL)
            log.info("%s: stopping", signal.Signals(number).name)
            stopping = True
            if gateway.ready:
                gateway.stop()
            else:
                whole.cancel()  # it has no request yet, and may wait for an API server that never answers
