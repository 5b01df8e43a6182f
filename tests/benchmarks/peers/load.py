"""One run of wrk against one proxy, and what it cost: rate, latencies, and processor time of the proxy's processes per request."""

import json
import resource
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.peers.processes import ROOT, Child, Cpus, Failed, child_setup
from tests.benchmarks.peers.proxies import Peer

SCRIPT = Path(__file__).parent / "load.lua"
HOST = "hello.default.localhost"
JIFFIES = 100  # a second, in /proc/stat


@dataclass(frozen=True)
class Case:
    method: str
    size: int
    connections: int
    varied: bool = False  # no two heads in a row are alike, in either direction

    def __str__(self) -> str:
        size = f"{self.size // 1024} KiB" if self.size >= 1024 else f"{self.size} B"
        return f"{self.method} {size}{' varied' if self.varied else ''}"


@dataclass(frozen=True)
class Run:
    """`p50` and `p99` in ms, `cost` in µs of CPU per request, `others` the cores' share that something else used meanwhile."""

    rate: float
    p50: float
    p99: float
    cost: float
    requests: int
    others: float = 0.0


def median(runs: Sequence[Run]) -> Run:
    """Column by column, so that one disturbed run spoils nothing."""
    columns = {name: statistics.median(getattr(run, name) for run in runs) for name in ("rate", "p50", "p99", "cost", "others")}
    return Run(**columns, requests=sum(run.requests for run in runs))


def run(peer: Peer, case: Case, seconds: int, cpus: Cpus, others: Sequence[Child]) -> Run:
    """Load from `cpus` for `seconds`. Raises Failed at any answer that is not 2xx and any error on a socket."""
    threads = min(len(cpus), 2, case.connections)
    argv = [
        "wrk", "-t", str(threads), "-c", str(case.connections), "-d", f"{seconds}s", "--timeout", "10s", "-s", str(SCRIPT),
        f"http://127.0.0.1:{peer.port}/{case.size}", "--", case.method, str(case.size), HOST,
        *(["vary"] if case.varied else []),
    ]  # fmt: skip
    machine, ours = _machine(), _ours(others)
    before = peer.child.cpu()
    wrk = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        process_group=0, preexec_fn=child_setup(cpus),
    )  # fmt: skip
    try:
        out, _ = wrk.communicate(timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise Failed(f"wrk did not end: {peer.name}, {case}, {case.connections} connections") from None
    finally:
        wrk.kill()
        wrk.wait()
    used = peer.child.cpu() - before
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if wrk.returncode or not lines:
        raise Failed(f"wrk failed ({wrk.returncode}) on {peer.name}, {case}: {out.strip()[-1000:]}")
    told = json.loads(lines[-1])
    wrong = {kind: told[kind] for kind in ("connect", "read", "write", "status", "timeout") if told[kind]}
    if wrong or not told["requests"]:
        raise Failed(f"{peer.name}, {case}, {case.connections} connections: {told['requests']} requests, errors {wrong}")
    peer.child.check()
    busy = _machine() - machine
    return Run(
        rate=told["requests"] / told["microseconds"] * 1e6,
        p50=told["p50"] / 1e3,
        p99=told["p99"] / 1e3,
        cost=used / told["requests"] * 1e6,
        requests=told["requests"],
        others=max(0.0, busy - (_ours(others) - ours)) / seconds,
    )


def _machine() -> float:
    """Seconds that all cores have worked for anybody, the hypervisor's other guests included."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields) - idle - waiting) / JIFFIES


def _ours(children: Sequence[Child]) -> float:
    """Seconds that the benchmark has used: its servers, its finished wrks, and itself."""
    ended, self = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
    return sum(child.cpu() for child in children) + ended.ru_utime + ended.ru_stime + self.ru_utime + self.ru_stime
