"""A gateway of several processes that share its ports: the supervisor, which serves no request itself.

Here is its life; what it does with workers is in `crew.py`, what an operator asks in `admin.py`. It keeps the slots of
limited instances for its workers (`slots/keeper.py`), unless a keeper is named that others share too.
"""

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import anyio

from gateway import doors
from gateway.fleet import admin as fleet_admin
from gateway.fleet.crew import Doors, Fleet
from gateway.fleet.reuseport import listening
from gateway.process import SECOND_SIGNAL, Process, port, ready_line, say_ready
from gateway.slots import keeper
from kfn import open_files
from kfn.observe import web

log = logging.getLogger(__name__)

FOLDER = "kfn-gateway-"


async def run(process: Process, say: Callable[[str], None]) -> None:
    """Until SIGTERM or SIGINT."""
    open_files.most()  # each worker takes as many
    with _doors(process) as shared, web.listen(process.admin_host, process.admin_port) as asked:
        async with _slots(process) as chosen, anyio.create_task_group() as tasks:
            fleet = Fleet(chosen, shared)
            stop = anyio.Event()
            tasks.start_soon(_signals, fleet, stop, tasks.cancel_scope)
            async with web.serving(fleet_admin.app(fleet, process.gateway.cold_starts), sock=asked, drain=1):
                try:
                    await fleet.run(tasks)
                    say_ready(say, ready_line(process, shared[0], port(asked)))
                    await stop.wait()
                    await anyio.sleep(process.gateway.stop_delay)
                    await fleet.stop()
                finally:
                    fleet.kill()
            tasks.cancel_scope.cancel()


@contextmanager
def _doors(process: Process) -> Iterator[list[Doors]]:
    """Every door's sockets, one for each worker. Raises ListenError."""
    with ExitStack() as stack:
        found: list[dict[str, socket.socket]] = [{} for _ in range(process.workers)]
        for name, (host, at) in doors.wanted(process.gateway).items():
            sockets = stack.enter_context(listening(host, at, process.workers, process.gateway.backlog))
            for slot, sock in zip(found, sockets, strict=True):
                slot[name] = sock
        yield found


@asynccontextmanager
async def _slots(process: Process) -> AsyncIterator[Process]:
    """The same process, with somebody who keeps slots for its workers."""
    if process.gateway.slots:
        yield process
        return
    _clear()
    with tempfile.TemporaryDirectory(prefix=f"{FOLDER}{os.getpid()}-") as folder:  # 0700
        async with keeper.serving(f"unix:{folder}/slots", fresh=True) as kept:
            yield replace(process, gateway=replace(process.gateway, slots=kept.address))


def _clear() -> None:
    """Remove the folders of supervisors that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        pid = folder.name.removeprefix(FOLDER).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists() and folder.stat().st_uid == os.getuid() and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)


async def _signals(fleet: Fleet, stop: anyio.Event, whole: anyio.CancelScope) -> None:
    """SIGTERM and SIGINT: the first stops in order, a second one at once. SIGHUP replaces the workers."""
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                log.info("%s", signal.Signals(number).name)
                if number == signal.SIGHUP:
                    if fleet.ready:
                        tasks.start_soon(fleet.replace_all)
                elif stop.is_set():
                    log.warning("second signal: leaving at once")
                    fleet.kill()
                    sys.stderr.flush()
                    os._exit(SECOND_SIGNAL)
                elif not any(worker.ready.is_set() for worker in fleet.workers):
                    whole.cancel()  # nobody has a request yet
                else:
                    fleet.stopping = True  # not ready, from now on
                    stop.set()
