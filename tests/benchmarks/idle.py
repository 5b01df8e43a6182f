"""What 5,000 clients that keep their connections and say nothing cost in memory: kfn's gateway, and beside it Go's proxy and nginx.

    python -m tests.benchmarks.idle

Each client has sent three requests before it falls silent, as a connection that was never used costs less. Memory is the proportional
set size of the proxy's processes; what the kernel holds for a socket is the same for all and not in it.
"""

import resource
import socket
import sys
import time
from contextlib import ExitStack

from tests.benchmarks._measure import Table, compiled, pss
from tests.benchmarks.peers import proxies
from tests.benchmarks.peers.load import HOST
from tests.benchmarks.peers.processes import Failed, cpus, signals_end_it

CONNECTIONS = 5000
REQUEST = f"GET /0 HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n".encode()


def main() -> int:
    proxies.missing()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # its children inherit it
    try:
        with signals_end_it(), compiled(), ExitStack() as stack:
            bare = stack.enter_context(proxies.bare(cpus()))
            found = {peer.name: idle(peer) for peer in proxies.start_all(stack, bare.port, cpus(), workers=1)}
    except Failed as why:
        print(f"FAILED: {why}", file=sys.stderr)
        return 1
    beside = ", ".join(f"{name}: {mib:.1f} MiB" for name, (mib, _, _) in found.items() if name != "kfn")
    mib, all_, busy = found["kfn"]
    figure = f"{mib:.1f} MiB, {mib * 1024 / CONNECTIONS:.1f} KiB each; {all_:.0f} MiB in all"
    table = Table()
    table.add(f"gateway, {CONNECTIONS:,} idle connections", figure, "100 MB", beside)
    table.add("  CPU while they idle, of one core", f"{busy:.2%}")
    return 0


def idle(peer: proxies.Peer, seconds: float = 3.0) -> tuple[float, float, float]:
    """MiB for the connections, MiB in all, and the share of a core that is used while nothing comes."""
    with ExitStack() as stack:
        for _ in range(100):  # first the heap's own growth
            _used(stack.enter_context(socket.create_connection(("127.0.0.1", peer.port), 10)), peer)
        before = sum(pss(pid) for pid in peer.child.pids)
        for _ in range(CONNECTIONS):
            _used(stack.enter_context(socket.create_connection(("127.0.0.1", peer.port), 10)), peer)
        after, busy = sum(pss(pid) for pid in peer.child.pids), peer.child.cpu()
        time.sleep(seconds)  # noqa: TID251 - nothing is to happen
        return after - before, after, (peer.child.cpu() - busy) / seconds


def _used(sock: socket.socket, peer: proxies.Peer) -> None:
    for _ in range(3):
        sock.sendall(REQUEST)
        got = sock.recv(4096)
        if not got.startswith(b"HTTP/1.1 200"):
            raise Failed(f"{peer.name} answered {got[:200]!r}")


if __name__ == "__main__":
    sys.exit(main())
