"""Ends processes that an earlier run of this data directory left behind. Blocks; run it before anything is started.

Every process of a node carries the node's own id in its environment and hands it on to its children, so leftovers are found by
that, not by remembered pids, which may belong to somebody else by now.
"""

import logging
import os
import secrets
import signal
from pathlib import Path

from embedded.node.pool import MARKER

log = logging.getLogger(__name__)


def end(data: Path, proc: Path = Path("/proc")) -> str:
    """Kill leftovers; returns the node's id, made at first use."""
    file = data / "node.id"
    try:
        node = file.read_text().strip()
    except FileNotFoundError:
        node = ""
    if not node:
        node = secrets.token_hex(8)
        file.write_text(node)
        return node
    mark = f"{MARKER}={node}".encode()
    found = [pid for pid in _others(proc) if mark in _environment(proc, pid)]
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if found:
        log.warning("ended %d processes that an earlier run left behind", len(found))
    return node


def _others(proc: Path) -> list[int]:
    return [int(entry.name) for entry in proc.glob("[0-9]*") if int(entry.name) != os.getpid()]


def _environment(proc: Path, pid: int) -> list[bytes]:
    try:
        return (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
