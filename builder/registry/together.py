"""Several transfers at once, with one error at the end."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import anyio

from builder.errors import single

T = TypeVar("T")


async def each(do: Callable[[T], Coroutine[Any, Any, None]], items: Iterable[T]) -> None:
    """`do` for all of them. The first error ends the others and is raised as it is."""
    with single():
        async with anyio.create_task_group() as tasks:
            for item in items:
                tasks.start_soon(do, item)
