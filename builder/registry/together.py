"""Several transfers at once, with one error at the end: who catches a BuildError needs to know nothing of task groups."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import anyio

from builder.errors import BuildError

T = TypeVar("T")


async def each(do: Callable[[T], Coroutine[Any, Any, None]], items: Iterable[T]) -> None:
    """`do` for all of them. The first error ends the others and is raised as it is."""
    try:
        async with anyio.create_task_group() as tasks:
            for item in items:
                tasks.start_soon(do, item)
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What to say of several errors: the build's own before others."""
    leaves = [_first(error) if isinstance(error, BaseExceptionGroup) else error for error in group.exceptions]
    return next((error for error in leaves if isinstance(error, BuildError)), leaves[0])
