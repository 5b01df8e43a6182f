"""One build's runner as a process of this machine: an ordinary user's, with folders of its own, ended with everything that it started.

Who asks for it, and what the API server is told, is in `buildjobs.py`.
"""

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread

from builder.cluster import wire
from embedded import asuser
from embedded.node.logfile import LogFile
from embedded.node.pool import MARKER

NOBODY = 65534
READ = 2.0  # seconds for the rest of its output
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PYTHONPATH")
PREFIXES = ("UV_", "PIP_", "KFN_REGISTRY_", "KFN_DEBIAN_")  # where packages and bases come from is this machine's business


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds."""

    data: Path  # the platform's data directory
    python: str = field(default_factory=lambda: os.environ.get("KFN_BUILD_PYTHON") or sys.executable)
    grace: float = 10.0  # to end in order after SIGTERM
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    @property
    def work(self) -> Path:
        return self.data / "builds"

    @property
    def logs(self) -> Path:
        return self.data / "build-logs"


@dataclass(frozen=True, slots=True)
class Ended:
    """`code` is negative if a signal ended it. `message` is what it left as termination message."""

    code: int
    message: str


class CannotStart(Exception):
    """The runner cannot be started on this machine."""


async def run(
    settings: Settings, name: str, env: Mapping[str, str], secrets: Mapping[str, Mapping[str, bytes]], log: LogFile, stop: anyio.Event
) -> Ended:
    """Run to its end; `stop` asks it to end early. Cancelled, it is killed at once. Raises CannotStart."""
    folder = settings.work / name
    user = NOBODY if os.geteuid() == 0 else None  # a build is nobody's, even where the platform is root's
    try:
        await anyio.to_thread.run_sync(_prepare, settings, folder, secrets, user)
        process = await _start(settings, folder, env, user)
        try:
            await _watch(process, log, stop, settings.grace)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # also what it started itself
            with anyio.CancelScope(shield=True):
                await process.aclose()
        return Ended(process.returncode or 0, _message(folder / "message"))
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


def _prepare(settings: Settings, folder: Path, secrets: Mapping[str, Mapping[str, bytes]], user: int | None) -> None:
    cache = settings.work / "cache"
    for path in (cache, folder, folder / "tmp"):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = [cache, folder, folder / "tmp"]
    for volume, files in secrets.items():
        place = folder / "secrets" / volume
        place.mkdir(parents=True, mode=0o700)
        own += [folder / "secrets", place]
        for key, data in files.items():
            fd = os.open(place / key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
            with open(fd, "wb") as file:
                file.write(data)
            own.append(place / key)
    (folder / "message").touch(0o600)
    own.append(folder / "message")
    if user is not None:
        for path in own:
            os.chown(path, user, user)
        settings.data.chmod(0o711)  # to go through, not to look around
        settings.work.chmod(0o711)


async def _start(settings: Settings, folder: Path, env: Mapping[str, str], user: int | None) -> anyio.abc.Process:
    passed = {k: v for k, v in settings.environ.items() if k in PASSED_ON or k.startswith(PREFIXES)}
    own = {
        "HOME": str(folder / "tmp"),
        "TMPDIR": str(folder / "tmp"),
        "XDG_CACHE_HOME": str(settings.work / "cache"),
        wire.TERMINATION_LOG: str(folder / "message"),
        wire.SECRETS: str(folder / "secrets"),
        **_marker(settings.data),
    }
    given = {k: v for k, v in env.items() if v}
    argv = [settings.python, "-m", "builder.cluster.runner"]
    if user is not None:
        argv = [sys.executable, "-IS", asuser.__file__, str(user), own[wire.TERMINATION_LOG], *argv]
    try:
        return await anyio.open_process(
            argv,
            cwd=folder / "tmp",
            env={**passed, **given, **own},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise CannotStart(f"{argv[0]} cannot be started: {error.strerror}") from None


def _marker(data: Path) -> dict[str, str]:
    """The node's id, by which the next start finds what a killed platform left behind."""
    try:
        return {MARKER: (data / "node.id").read_text().strip()}
    except FileNotFoundError:
        return {}


async def _watch(process: anyio.abc.Process, log: LogFile, stop: anyio.Event, grace: float) -> None:
    """Until it has ended and its output is read."""
    read = anyio.Event()

    async def copy() -> None:
        assert process.stdout is not None
        async for chunk in process.stdout:
            log.feed(chunk)
        read.set()

    async def end() -> None:
        await stop.wait()
        with suppress(ProcessLookupError):
            process.terminate()
        await anyio.sleep(grace)
        with suppress(ProcessLookupError):
            process.kill()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(copy)
        tasks.start_soon(end)
        await process.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # a child of it would hold its output open
        with anyio.move_on_after(READ):
            await read.wait()
        tasks.cancel_scope.cancel()


def _message(path: Path) -> str:
    """What the runner wrote, which may have been anything: a link to somewhere else is not followed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return ""
            return file.read(wire.MESSAGE_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
