"""`kfn gateway --workers N` for the benchmark, as a user starts it, with an API server and an autoscaler that only listens around it.

    python -m tests.benchmarks.peers.kfn_workers UPSTREAM_PORT WORKERS

It prints the gateway's port. Its CPU is that of the supervisor and the workers, and of this process, which has nothing to do by then.
"""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.benchmarks.peers.kfn_gateway import LIMIT
from tests.integration.process.stage import stage


async def main(upstream: int, workers: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    with tempfile.TemporaryDirectory(prefix="kfn-bench-workers-") as folder:
        async with stage(Path(folder), containerConcurrency=LIMIT) as around:
            await around.instance(upstream)
            async with around.gateway("--workers", str(workers)) as gateway:
                print(gateway.port, flush=True)
                await ended.wait()
                gateway.signal()
                await gateway.ended()


if __name__ == "__main__":
    uvloop.run(main(*(int(arg) for arg in sys.argv[1:3])))
