"""Memory and CPU limits by cgroup v2, where this process may make groups below its own; everywhere else there are only rlimits.

That is so under `systemd-run --user --scope -p Delegate=yes kfn up`, as a systemd unit with Delegate=yes, or in a container with
a writable cgroup. Linux wants no processes in a group that has groups with limits below it, so the platform moves itself into a
leaf first, and only if nobody else is in its group.
"""

import logging
import os
from pathlib import Path

from embedded.node.limits import Limits

log = logging.getLogger(__name__)

CPU_PERIOD = 100_000  # microseconds


class Cgroups:
    """Groups of instances below one folder. Methods touch a few small kernel files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, name: str, limits: Limits) -> Path:
        """A group with these limits. Raises OSError."""
        group = self.folder / name
        group.mkdir(exist_ok=True)
        if limits.memory:
            _write(group / "memory.max", str(limits.memory))
            _write(group / "memory.swap.max", "0")
            _write(group / "memory.oom.group", "1")
        if limits.cpu:
            _write(group / "cpu.max", f"{max(1000, int(limits.cpu * CPU_PERIOD))} {CPU_PERIOD}")
        return group

    @staticmethod
    def oom_kills(group: Path) -> int:
        """How many processes of the group the kernel has killed for memory."""
        try:
            lines = (group / "memory.events").read_text().splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    @staticmethod
    def remove(group: Path) -> None:
        try:
            group.rmdir()
        except OSError:
            pass  # it still has processes that are ending, or is gone: the next run removes it

    def remove_all(self) -> None:
        for group in self.folder.glob("*/"):
            self.remove(group)
        self.remove(self.folder)


def find(node: str, proc: Path = Path("/proc/self")) -> Cgroups | None:
    """The groups of the node of that id, or None where this process may not make any."""
    own = _own(proc)
    if own is None:
        return None
    try:
        if "memory" not in (own / "cgroup.controllers").read_text().split():
            return None
        if "memory" not in (own / "cgroup.subtree_control").read_text().split():
            _make_room(own, node)
            _write(own / "cgroup.subtree_control", "+memory +cpu")
        folder = own / f"kfn-{node}"
        folder.mkdir(exist_ok=True)
        _write(folder / "cgroup.subtree_control", "+memory +cpu")
    except OSError as error:
        log.debug("no cgroups below %s: %s; memory limits are RLIMIT_DATA, CPU limits have no effect", own, error)
        return None
    found = Cgroups(folder)
    for left in folder.glob("*/"):
        found.remove(left)
    return found


def _own(proc: Path) -> Path | None:
    """The folder of this process's own cgroup v2."""
    try:
        path = next(line[3:] for line in (proc / "cgroup").read_text().splitlines() if line.startswith("0::"))
        mount = next(line.split()[4] for line in (proc / "mountinfo").read_text().splitlines() if " - cgroup2 " in line)
    except (OSError, StopIteration):
        return None
    return Path(mount) / path.lstrip("/")


def _make_room(own: Path, node: str) -> None:
    """Move this process and its children into a leaf, if they are alone here. Raises OSError if others are."""
    here = [int(pid) for pid in (own / "cgroup.procs").read_text().split()]
    others = [pid for pid in here if pid != os.getpid() and _parent(pid) != os.getpid()]
    if others:
        raise OSError(f"it also holds {len(others)} processes that are not the platform's")
    leaf = own / f"kfn-{node}-platform"
    leaf.mkdir(exist_ok=True)
    for pid in here:
        _write(leaf / "cgroup.procs", str(pid))


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def _write(file: Path, text: str) -> None:
    file.write_text(text)
