"""How a fake server ends: no connection is left, one that was still being accepted included."""

import asyncio
from collections.abc import Collection


async def end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel the connections' tasks of a server that was just closed, until none has come for five turns of the loop."""
    quiet = 0
    while quiet < 5:  # a connection that was being accepted comes some turns of the loop later
        quiet = 0 if tasks else quiet + 1
        for task in list(tasks):
            task.cancel()
        await asyncio.sleep(0)


async def stop(server: asyncio.Server) -> None:
    """Close a server when nothing is between accepted and connected: asyncio would then leave such a socket open for ever (3.11)."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, asyncio.SelectorEventLoop):
        for sock in server.sockets:
            loop.remove_reader(sock.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
    server.close()
