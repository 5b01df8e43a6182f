"""What every process does with the parts in it: run one while a block runs, settle when it is ready, say where it is reached.

What is in a part, how signals end it and how it says that it is ready is each process's own.
"""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio


@asynccontextmanager
async def running(name: str, work: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Do `work` while the block runs. Work that ends by itself, or fails, ends the process: a supervisor starts it again."""

    async def supervised() -> None:
        await work()
        raise RuntimeError(f"{name} ended by itself")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supervised, name=name)
        yield
        tasks.cancel_scope.cancel()


def settled() -> None:
    """What is here stays: looking through it again and again would stop requests, and everything else, for tens of milliseconds."""
    gc.collect()
    gc.freeze()


def reachable(host: str) -> str:
    """A host that somebody listens on, as others on this machine reach it."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def authority(host: str, port: int) -> str:
    """The same with the port, as it stands in a URL."""
    host = reachable(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
