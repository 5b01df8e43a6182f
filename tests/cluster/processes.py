"""The processes of a test cluster: started so that they outlive who starts them, found again by pid and start time, ended by pid.

Each is a session of its own in the cluster's cgroup and in its node's namespaces, and appends to a log of its own. Nobody restarts what
dies: tests kill on purpose; `up` starts what is missing.
"""

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import cgroups, network
from tests.cluster.layout import Layout, Node
from tests.cluster.shell import SEARCH, wait_for

LOG_LIMIT = 32 << 20  # bytes, seen at each `up`, `status` and test session; the part before is kept once


@dataclass(frozen=True)
class Program:
    name: str  # one of a kind on its node
    node: Node
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()

    @property
    def note(self) -> Path:
        return self.node.folder / "pids" / self.name

    @property
    def log(self) -> Path:
        return self.node.cluster.logs / f"{self.name}-{self.node.index}.log"


def _started(pid: int) -> str:
    """When a process began, in ticks after boot: tells it from a later one with the same pid. Empty if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def pid(program: Program) -> int:
    """0 if it does not run."""
    try:
        noted = json.loads(program.note.read_text())
    except (OSError, ValueError):
        return 0
    return int(noted["pid"]) if _started(noted["pid"]) == noted["started"] else 0


def start(program: Program) -> bool:
    """Whether it had to be started."""
    if pid(program):
        return False
    program.note.parent.mkdir(parents=True, exist_ok=True)
    program.log.parent.mkdir(parents=True, exist_ok=True)
    group = f"{program.node.cluster.cgroup}/system"
    with program.log.open("ab") as log:
        child = subprocess.Popen(
            [*network.inside(program.node), *program.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env={"PATH": SEARCH, "HOME": str(program.node.folder), **dict(program.env)},
            preexec_fn=lambda: cgroups.join(group),
        )
    draft = program.note.with_suffix(".new")
    draft.write_text(json.dumps({"pid": child.pid, "started": _started(child.pid)}))
    draft.replace(program.note)
    child.returncode = 0  # it is not ours to wait for, and subprocess would warn of it
    return True


def send(program: Program, what: signal.Signals) -> bool:
    """Whether it runs."""
    running = pid(program)
    if running:
        os.kill(running, what)
    return bool(running)


def kill(program: Program, how: signal.Signals = signal.SIGKILL, within: float = 30.0) -> bool:
    """Returns whether it ran. Waits for its end."""
    running = pid(program)
    if not send(program, how):
        return False

    def ended() -> bool:
        try:
            os.waitpid(running, os.WNOHANG)  # if this process is its parent
        except ChildProcessError:
            pass
        return not pid(program)

    wait_for(f"the end of {program.name} after {how.name}", ended, within, every=0.02)
    return True


def bound_logs(cluster: Layout) -> None:
    """Who writes has its log open to append: copying and cutting is safe."""
    for log in cluster.logs.glob("*.log"):
        if log.stat().st_size > LOG_LIMIT:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
