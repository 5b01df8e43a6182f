"""A containerd of the test's own, with runc: imports an image from an archive and runs it as Kubernetes would, as an unprivileged user.

Root, state, socket and runc's folder are in a temporary folder; every process is ended by its pid. `missing()` says why a test must skip.

    with containerd() as runtime:
        image = runtime.load(archive)          # an OCI or docker archive
        assert runtime.run(image, "python3", "-c", "print(1)").stdout == "1\\n"
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROGRAMS = ("containerd", "ctr", "runc", "containerd-shim-runc-v2")
PATIENCE = 60.0  # seconds for anything that should take one
_CONFIG = """version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{folder}/socket"
[ttrpc]
  address = "{folder}/ttrpc"
"""


def missing() -> str:
    """Why images cannot be run here; empty if they can."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"{', '.join(absent)} is not installed"
    return "" if os.geteuid() == 0 else "containerd needs root to mount what it unpacks"


@dataclass
class Containerd:
    folder: Path
    _count: int = 0
    _open: list[str] = field(default_factory=list)

    def ctr(self, *args: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        command = ["ctr", "--address", str(self.folder / "socket"), "--namespace", "kfn", *args]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)

    def load(self, archive: Path, platform: str = "") -> str:
        """Import and unpack an archive; returns the image's name here."""
        self._count += 1
        base = f"kfn.test/{self._count}"
        chosen = ("--platform", platform) if platform else ()
        done = self.ctr("images", "import", "--digests", "--base-name", base, *chosen, str(archive))
        assert done.returncode == 0, f"containerd refused {archive}: {done.stderr}"
        names = self.ctr("images", "ls", "-q").stdout.split()
        own = [name for name in names if name.startswith(f"{base}@")]  # an archive without a name is called by its digest
        found = own or [line.split()[1] for line in done.stdout.splitlines() if line.startswith("unpacking ")]
        assert found, f"{archive} has no image: {done.stdout}"
        return found[0]

    def run(
        self, image: str, *args: str, env: Mapping[str, str] | None = None, read_only: bool = False, host_network: bool = False,
        timeout: float = PATIENCE,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Run to the end as the user that the image names. Without `args` its own entrypoint runs."""
        process = self.start(image, *args, env=env, read_only=read_only, host_network=host_network)
        try:
            out, err = process.communicate(timeout=timeout)
        finally:
            self.end(process)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(
        self, image: str, *args: str, env: Mapping[str, str] | None = None, read_only: bool = False, host_network: bool = False
    ) -> subprocess.Popen[str]:
        """Run in the background; `end` it. `read_only` is a root that cannot be written, with a /tmp that can, as pods have it.

        Without `host_network` it has a loopback of its own that is down.
        """
        self._count += 1
        name = f"c{self._count}"
        self._open.append(name)
        flags = [f"--runc-root={self.folder / 'runc'}", *(f"--env={key}={value}" for key, value in (env or {}).items())]
        flags += ["--read-only", f"--mount=type=bind,src={self._scratch(name)},dst=/tmp,options=rbind:rw"] if read_only else []
        flags += ["--net-host"] if host_network else []
        command = ["ctr", "--address", str(self.folder / "socket"), "--namespace", "kfn", "run", "--rm", *flags, image, name, *args]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _scratch(self, name: str) -> Path:
        folder = self.folder / "tmp" / name
        folder.mkdir(parents=True)
        folder.chmod(0o1777)
        return folder

    def end(self, process: subprocess.Popen[str]) -> None:
        """TERM, which reaches the container, then KILL."""
        name = process.args[process.args.index("--rm") :]  # type: ignore[union-attr,index]
        container = next(one for one in self._open if one in name)
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                self.ctr("tasks", "kill", "--signal", "SIGKILL", container)
                process.kill()
                process.communicate()
        if container in self.ctr("containers", "ls", "-q").stdout.split():
            self.ctr("tasks", "rm", "--force", container)
            self.ctr("containers", "rm", container)
        self._open.remove(container)


@contextmanager
def containerd() -> Iterator[Containerd]:
    """Skips the test where it cannot run."""
    if why := missing():
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="kfn-"))  # not tmp_path: a socket's name has at most 107 bytes
    (folder / "config.toml").write_text(_CONFIG.format(folder=folder))
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        ["containerd", "--config", str(folder / "config.toml"), "--log-level", "warn"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    runtime = Containerd(folder)
    try:
        _wait(runtime, server)
        yield runtime
        assert not runtime._open, f"the test left containers running: {runtime._open}"
    finally:
        for name in list(runtime._open):
            runtime.ctr("tasks", "kill", "--signal", "SIGKILL", name)
            runtime.ctr("tasks", "rm", "--force", name)
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(runtime: Containerd, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while runtime.ctr("version").returncode:
        assert server.poll() is None, f"containerd ended: {(runtime.folder / 'log').read_text()}"
        assert time.monotonic() < end, f"containerd does not answer: {(runtime.folder / 'log').read_text()}"
        threading.Event().wait(0.05)
