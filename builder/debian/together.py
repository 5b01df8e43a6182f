"""Do several things at once, and fail with the one error that tells most, as if they had been done one after the other."""

from collections.abc import Awaitable, Callable, Sequence

import anyio

from builder.errors import BuildError, TransientError


async def together(calls: Sequence[Callable[[], Awaitable[None]]], at_once: int = 8) -> None:
    """The first that fails ends the others. What was refused is told before what may pass."""
    failed: list[Exception] = []
    places = anyio.CapacityLimiter(at_once)

    async def guarded(call: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        try:
            async with places:
                await call()
        except (BuildError, OSError) as error:
            failed.append(error)
            scope.cancel()

    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(guarded, call, tasks.cancel_scope)
    if failed:
        raise min(failed, key=lambda error: (isinstance(error, TransientError), str(error)))
