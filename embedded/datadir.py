"""The data directory of one embedded platform: its lock, its token, its kubeconfig and what it says of itself while it runs."""

import base64
import fcntl
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

_TOKEN_LENGTH = 32
# What a platform keeps at the top of its directory: anything else there means that the directory is somebody's.
_OURS = frozenset({
    "images", "kubeconfig", "layers", "lock", "logs", "nats", "node.id", "platform.json", "pods", "ports.json", "state.db", "tls", "token"
})  # fmt: skip


class DataDirError(Exception):
    """The data directory cannot be used; the message names it, what failed and what to do."""


class AlreadyRunning(DataDirError):
    """Another `kfn up` runs on this data directory."""


def default() -> Path:
    """`$XDG_DATA_HOME/kfn`, or `~/.local/share/kfn`."""
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "kfn"


def _markers() -> Path:
    """The folder in which every platform that runs leaves a file with the path of its data directory."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "kfn" / "running"


def _marker(path: Path) -> Path:
    return _markers() / hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def running() -> list[Path]:
    """The data directories of the platforms that run now, the one that started last first. What a crash left is passed over."""
    try:
        markers = sorted(_markers().iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
        return [path for path in (Path(file.read_text().strip()) for file in markers) if _is_locked(path)]
    except OSError:
        return []


def _is_locked(path: Path) -> bool:
    try:
        with (path / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Create the directory, private to the user, and hold its lock. Raises AlreadyRunning or DataDirError.

    The lock is the kernel's (flock): it is gone with the process, kill -9 included.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        _require_ours(path)
        path.chmod(0o700)
        fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataDirError(f"--data-dir {path}: {error.strerror}. Choose a directory that you may write to") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, 32, 0).decode(errors="replace").strip()
            raise AlreadyRunning(
                f"a platform already runs on {path}" + (f" (pid {pid})" if pid else "") + ". Stop it, or choose another --data-dir"
            ) from None
        _require_space(path)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def _require_ours(path: Path) -> None:
    """Refuse a directory that holds other things: it would be closed to everybody else, and filled."""
    if (path / "lock").exists():
        return
    found = next((name for name in sorted(os.listdir(path)) if name not in _OURS and not name.startswith(".")), "")
    if found or str(path) in (os.path.expanduser("~"), "/"):
        what = f"holds other things ({found})" if found else "is not kfn's"
        raise DataDirError(f"--data-dir {path}: this directory {what}. Choose an empty or a new one")


def _require_space(path: Path, needed: int = 32 << 20) -> None:
    """Refuse to start on a full disk: the store would accept nothing, and say so only at the first write."""
    stat = os.statvfs(path)
    free = stat.f_bavail * stat.f_frsize
    if free < needed:
        raise DataDirError(f"--data-dir {path}: the disk is full ({free >> 20} MiB free, {needed >> 20} MiB are needed). Free some space")


def token(path: Path) -> str:
    """The bearer token of this platform, made at the first start and kept, so that copies of the kubeconfig stay valid."""
    file = path / "token"
    try:
        value = file.read_text().strip()
        file.chmod(0o600)
    except FileNotFoundError:
        value = ""
    if len(value) < _TOKEN_LENGTH:  # an empty one would let everybody in
        value = secrets.token_urlsafe(32)
        write_private(file, value + "\n")
    return value


def write_private(path: Path, text: str) -> None:
    """Write a file whole, readable by its owner only; a reader sees the old text or the new, never half."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp gives 0600
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_kubeconfig(path: Path, *, server: str, ca_pem: str, token: str) -> None:
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(ca_pem.encode()).decode()}
    doc = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kfn", "cluster": cluster}],
        "users": [{"name": "kfn", "user": {"token": token}}],
        "contexts": [{"name": "kfn", "context": {"cluster": "kfn", "user": "kfn", "namespace": "default"}}],
        "current-context": "kfn",
    }
    write_private(path / "kubeconfig", yaml.safe_dump(doc, sort_keys=False))


def write_platform(path: Path, facts: dict[str, Any]) -> None:
    """Say where everything listens, and be findable by a CLI without KUBECONFIG."""
    write_private(path / "platform.json", json.dumps(facts, indent=2) + "\n")
    marker = _marker(path)
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        write_private(marker, f"{path}\n")
    except OSError:
        pass  # a read-only home only means that KUBECONFIG must be set


def note_pid(path: Path, name: str, pid: int) -> None:
    """A child of the running platform was started again. Nothing else changes, nor which platform started last."""
    with suppress(OSError, ValueError):  # none before the platform is ready and at its end; and a full disk is no reason to end
        facts = json.loads((path / "platform.json").read_text())
        facts["pids"][name] = pid
        write_private(path / "platform.json", json.dumps(facts, indent=2) + "\n")


def clear_platform(path: Path) -> None:
    """Take back what `write_platform` said; the kubeconfig stays, its token and certificate stay valid."""
    (path / "platform.json").unlink(missing_ok=True)
    with suppress(OSError):
        _marker(path).unlink()
