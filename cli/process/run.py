"""One part of kfn as a process: its life from start to end, the same for all. What is in a part is in the module of its name.

The admin port is there first, so that a probe is answered while an API server is waited for. Then what the part cannot do without is
checked, the part is started, the line that begins with `ready` is printed, and it works until SIGTERM. The end has a bound (`grace`).
"""

import logging
import os
import platform
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import anyio
from prometheus_client import CollectorRegistry
from starlette.routing import BaseRoute

from cli.process import admin, needs
from cli.process.health import Health, behind
from kfn import groups
from kfn.api.kinds import Kind
from kfn.kube import config as kube
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport
from kfn.kube.informer import Informer
from kfn.kube.transport import Transport
from kfn.observe import web
from kfn.part import authority, settled
from kfn.version import VERSION

log = logging.getLogger(__name__)

SECOND_SIGNAL = 130  # the exit code
TOO_LONG = 124  # the exit code of a process whose end took longer than its grace
ONE = 0.2  # seconds
LAST = 2.0  # seconds beyond it, for what ignores that it is cancelled


@dataclass(frozen=True, slots=True)
class Process:
    """What can be chosen about every process."""

    name: str  # controller, autoscaler, eventing
    kubeconfig: str = ""  # without one: $KUBECONFIG, ~/.kube/config, the pod's service account
    context: str = ""
    admin_host: str = "127.0.0.1"
    admin_port: int = 8081  # 0 picks a free one
    lease: tuple[str, str] | None = None  # namespace and name; None: there is only one of this process
    identity: str = ""  # this one's name in the Lease
    grace: float = 25.0  # seconds for the whole end; Kubernetes kills a pod after 30

    def called(self) -> str:
        return self.identity or f"{platform.node()}_{os.getpid()}"


@dataclass(slots=True)
class Shell:
    """What a part is given, and what it adds to."""

    process: Process
    transport: Transport
    api_server: str = ""  # its URL
    health: Health = field(default_factory=Health)
    registries: list[CollectorRegistry] = field(default_factory=list)
    pages: list[Callable[[], str]] = field(default_factory=list)
    routes: list[BaseRoute] = field(default_factory=list)
    follows: Sequence[Informer[Any]] = ()  # the local copies of now

    def __post_init__(self) -> None:
        self.health.troubles["kubernetes"] = lambda: behind({one.kind.qualified: one.stale for one in self.follows})
        self.pages.append(self._page)

    def _page(self) -> str:
        """The numbers that every process has."""
        name, stale = self.process.name, max((one.stale for one in self.follows), default=0.0)
        return (
            "# HELP kfn_process_info What this process is.\n# TYPE kfn_process_info gauge\n"
            f'kfn_process_info{{part="{name}",version="{VERSION}"}} 1\n'
            "# HELP kfn_process_ready 1: /readyz says so.\n# TYPE kfn_process_ready gauge\n"
            f"kfn_process_ready {int(self.health.readiness()[0])}\n"
            "# HELP kfn_kubernetes_stale_seconds For how long the API server could not be followed.\n"
            f"# TYPE kfn_kubernetes_stale_seconds gauge\nkfn_kubernetes_stale_seconds {stale:.3f}\n"
            "# HELP kfn_kubernetes_objects Objects of which a copy is kept.\n# TYPE kfn_kubernetes_objects gauge\n"
            + "".join(f'kfn_kubernetes_objects{{kind="{one.kind.qualified}"}} {len(one)}\n' for one in self.follows)
        )

    @property
    def client(self) -> Client:
        return Client(self.transport)


Part = Callable[[Shell], AbstractAsyncContextManager[Mapping[str, str]]]
"""Runs a part while the block runs; gives what the ready line says of it."""


def main(process: Process, part: Part, kinds: Sequence[Kind[Any]], say: Callable[[str], None]) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code; raises what it cannot start or go on for. `kinds` must be installed."""
    try:
        anyio.run(run, process, part, kinds, say, backend_options={"use_uvloop": True})
    except BaseExceptionGroup as group:
        raise groups.first(group) from None
    return 0


async def run(process: Process, part: Part, kinds: Sequence[Kind[Any]], say: Callable[[str], None]) -> None:
    config = kube.load(process.kubeconfig or None, process.context or None)
    transport = HttpTransport(config)
    shell = Shell(process, transport, config.server)
    try:
        with web.listen(process.admin_host, process.admin_port) as sock:
            page = admin.app(shell.health, shell.registries, shell.pages, shell.routes)
            async with web.serving(page, sock=sock, drain=1):
                await _live(shell, part, kinds, lambda facts: say(_ready(shell, facts, sock.getsockname()[1])))
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await transport.aclose()


async def _live(shell: Shell, part: Part, kinds: Sequence[Kind[Any]], ready: Callable[[Mapping[str, str]], None]) -> None:
    stop = anyio.Event()
    with anyio.CancelScope() as whole:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_signals, shell, stop, whole)
            await needs.met(shell.client, kinds, shell.health)
            async with part(shell) as facts:
                shell.health.waiting = ""
                settled()
                ready(facts)
                await stop.wait()
            tasks.cancel_scope.cancel()
    if whole.cancelled_caught and shell.health.stopping and not shell.health.waiting:
        log.warning("the end took longer than %g s; what was still going on is cut off", shell.process.grace)


async def _signals(shell: Shell, stop: anyio.Event, whole: anyio.CancelScope) -> None:
    """The first signal stops in order, within a bound; a second one at once. Two in one moment are one: some supervisors signal a
    process and its group."""
    import asyncio

    asked = 0.0
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if shell.health.stopping and anyio.current_time() - asked < ONE:
                continue
            if shell.health.stopping:
                log.warning("second signal: leaving at once")
                sys.stderr.flush()
                os._exit(SECOND_SIGNAL)
            log.info("%s: stopping", signal.Signals(number).name)
            shell.health.stopping, asked = True, anyio.current_time()
            asyncio.get_running_loop().call_later(shell.process.grace + LAST, os._exit, TOO_LONG)
            if shell.health.waiting:
                whole.cancel()  # nothing has begun, and it may wait for an API server that never answers
            else:
                whole.deadline = anyio.current_time() + shell.process.grace
                stop.set()


def _ready(shell: Shell, facts: Mapping[str, str], port: int) -> str:
    process = shell.process
    lease = {"lease": "/".join(process.lease), "identity": process.called()} if process.lease else {}
    said = {**facts, "admin": f"http://{authority(process.admin_host, port)}", **lease}
    return " ".join(["ready", process.name, *(f"{name}={value}" for name, value in said.items())])
