"""kfn's gateway beside Go's httputil.ReverseProxy and nginx: the same load by wrk, over the same upstream, in the same minutes, in turn.

    python -m tests.benchmarks.gateway                # 16 connections, 1 KiB: under a minute
    python -m tests.benchmarks.gateway --full         # 1 to 256 connections, 0 B to 64 KiB, GET and POST: six minutes
    python -m tests.benchmarks.gateway --full --write # the same, and writes table and chart into docs/ (make bench-gateway)

One core belongs to the proxies, each of which works there alone while it is asked; wrk and the upstream have the other cores. So a rate
is what one core of that proxy can do. Then once more with all cores for everybody. Fails (1) at the first answer that is not
2xx and at any error on a socket; ends with 2 where wrk is missing.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack

from tests.benchmarks._measure import compiled
from tests.benchmarks.peers import proxies, report
from tests.benchmarks.peers.load import HOST, Case, Run, median, run
from tests.benchmarks.peers.processes import Cpus, Failed, signals_end_it
from tests.benchmarks.peers.proxies import Peer

CONNECTIONS = (1, 16, 64, 256)
SIZES = (0, 1024, 64 * 1024)
METHODS = ("GET", "POST")
VARIED = Case("GET", 1024, 16, varied=True)
QUICK = [*(Case(method, 1024, 16) for method in METHODS), VARIED]
FULL = [*(Case(method, size, connections) for method in METHODS for size in SIZES for connections in CONNECTIONS), VARIED]
FREE = Case("GET", 1024, 16)  # with all cores for everybody


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    if "wrk" in proxies.missing():
        print("nothing else here makes this load: install wrk and run it again", file=sys.stderr)
        return 2
    try:
        with signals_end_it(), compiled():
            results = measured(FULL if options.full else QUICK, options)
    except Failed as why:
        print(f"FAILED: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    report.summary(results)
    if options.write:
        report.write(results)
    return 0


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gateway", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="the whole matrix")
    parser.add_argument("--write", action="store_true", help="write table and chart into docs/")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, of which the median counts (default 3)")
    parser.add_argument("--seconds", type=int, default=1, help="length of each run (default 1)")
    return parser.parse_args(arguments)


def measured(cases: list[Case], options: argparse.Namespace) -> report.Results:
    cores = sorted(os.sched_getaffinity(0))
    ours, theirs = frozenset(cores[-1:]), frozenset(cores[:-1])
    if not theirs:
        print("one core only: the load shares it with the proxies, and the rates say little", file=sys.stderr)
        theirs = ours
    results = report.Results(cores=len(cores), seconds=options.seconds, rounds=options.rounds)
    with ExitStack() as stack:
        bare = stack.enter_context(proxies.bare(theirs))
        peers = proxies.start_all(stack, bare.port, ours, workers=1)
        for peer in [bare, *peers]:
            proxies.check(peer, HOST, SIZES)
        for peer in peers:  # first connections, caches, the heap's first growth
            for case in QUICK[:2]:
                run(peer, case, 1, theirs, [])
        report.heading(f"proxies on core {cores[-1]}, load and upstream on {len(theirs)} other")
        for case in cases:
            found = in_turn([*peers, bare], case, options, theirs)
            results.pinned[case] = found
            report.case(case, found)
    everybody = frozenset(cores)
    with ExitStack() as stack:
        bare = stack.enter_context(proxies.bare(everybody))
        peers = proxies.start_all(stack, bare.port, everybody, workers=len(cores))
        if len(cores) > 1:
            peers.insert(1, stack.enter_context(proxies.kfn_workers(bare.port, everybody, len(cores))))
        for peer in peers:
            run(peer, FREE, 1, everybody, [])
        report.heading(f"all {len(cores)} cores for everybody; GOMAXPROCS={len(cores)}, nginx {len(cores)} workers")
        results.free = in_turn([*peers, bare], FREE, options, everybody)
        report.case(FREE, results.free)
    return results


def in_turn(peers: list[Peer], case: Case, options: argparse.Namespace, cpus: Cpus) -> Mapping[str, Run]:
    """Each once, `rounds` times over; the bare upstream only in the first, as it is there to show that it is no limit."""
    runs: dict[str, list[Run]] = {peer.name: [] for peer in peers}
    servers = [peer.child for peer in peers]
    for number in range(options.rounds):
        for peer in peers:
            if number == 0 or peer.name != "bare":
                runs[peer.name].append(run(peer, case, options.seconds, cpus, servers))
    return {name: median(of_one) for name, of_one in runs.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
