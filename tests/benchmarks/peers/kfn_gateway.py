"""kfn's gateway for the benchmarks, in a process of its own, with everything that a request meets: routing, limits, headers, metrics.

    python -m tests.benchmarks.peers.kfn_gateway UPSTREAM_PORT [FUNCTIONS]

It prints its port. The API server is one in memory. FUNCTIONS is how many routes it knows beside the one that is asked for.
"""

import asyncio
import gc
import sys

import uvloop

from tests.fakes.routed import Cluster, routed

LIMIT = 100  # containerConcurrency


async def main(upstream: int, functions: int = 0) -> None:
    cluster = Cluster()
    cluster.route()
    cluster.revision(container_concurrency=LIMIT)
    cluster.instance(upstream)
    for number in range(functions):
        cluster.route(f"function-{number}")
        cluster.revision(f"function-{number}-00001")
    async with routed(cluster) as gw:
        gc.collect()
        gc.freeze()  # as `kfn up` does
        print(gw.gateway.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*(int(arg) for arg in sys.argv[1:3])))
