"""How late the event loop is: a timer that should fire every tenth of a second notes by how much it did not.

A proxy on one event loop is ill exactly when this is: whatever holds the loop delays every request by as much.
"""

import time

import anyio

from gateway.observe.exposition import Histogram

EVERY = 0.1  # seconds
BOUNDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)  # seconds; a timer is exact to a millisecond


class LoopLag:
    def __init__(self) -> None:
        self.seconds = Histogram(BOUNDS)
        self.last = 0.0

    async def run(self) -> None:
        while True:
            before = time.monotonic()
            await anyio.sleep(EVERY)
            self.last = max(0.0, time.monotonic() - before - EVERY)
            self.seconds.add(self.last)
