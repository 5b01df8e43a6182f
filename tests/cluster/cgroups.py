"""The cgroups of a test cluster, version 1 or 2: made for the kubelets, and the way to find every process of the cluster again.

What the cluster starts is put into `kfn-NAME/system`, its containers are in `kfn-NAME/INDEX/kubepods` by the kubelet. So what is left
after a kill -9 of anything is in one tree, shims and containers included.
"""

import os
import signal
import threading
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
EMPTY_WITHIN = 30.0  # seconds after SIGKILL


def hierarchies() -> list[Path]:
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [folder for folder in sorted(ROOT.iterdir()) if not folder.is_symlink() and (folder / "cgroup.procs").exists()]


def make(name: str) -> None:
    for hierarchy in hierarchies():
        folder = hierarchy
        for part in name.split("/"):
            folder /= part
            folder.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):  # version 1 starts them empty, and then takes no process
                if hierarchy.name == "cpuset" and not (folder / file).read_text().strip():
                    (folder / file).write_text((folder.parent / file).read_text())
            if hierarchy == ROOT:
                wanted = " ".join(f"+{one}" for one in (folder.parent / "cgroup.controllers").read_text().split())
                (folder.parent / "cgroup.subtree_control").write_text(wanted)


def _tree(name: str) -> list[Path]:
    """Children before parents."""
    return [Path(top) for hierarchy in hierarchies() for top, _, _ in os.walk(hierarchy / name, topdown=False)]


def join(name: str) -> None:
    """In a child before it becomes the program."""
    for hierarchy in hierarchies():
        (hierarchy / name / "cgroup.procs").write_text(str(os.getpid()))


def members(name: str) -> set[int]:
    found: set[int] = set()
    for folder in _tree(name):
        try:
            found.update(int(line) for line in (folder / "cgroup.procs").read_text().split())
        except OSError:  # removed meanwhile
            continue
    return found - {0, os.getpid()}


def kill(name: str) -> int:
    """End everything in the tree; returns how many processes there were."""
    killed: set[int] = set()
    end = time.monotonic() + EMPTY_WITHIN
    while left := members(name):
        killed |= left
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert time.monotonic() < end, f"processes that do not end after SIGKILL: {sorted(left)}"
        threading.Event().wait(0.02)
    return len(killed)


def remove(name: str) -> None:
    end = time.monotonic() + EMPTY_WITHIN
    for folder in _tree(name):
        while folder.exists():
            try:
                folder.rmdir()
            except OSError as error:  # busy until the kernel has buried the last process
                if time.monotonic() > end:
                    raise OSError(f"{folder} cannot be removed: {error}") from error
                threading.Event().wait(0.02)
