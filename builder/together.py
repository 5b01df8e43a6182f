"""Several things at once, failing with the one error that tells most, as if they had been done one after the other."""

from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio

from builder.errors import BuildError, TransientError

T = TypeVar("T")


@contextmanager
def single() -> Iterator[None]:
    """Around a task group: one error instead of the group. A build's own goes before others, what was refused before what may pass.

    Who catches it need not know of groups.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        raise min(_leaves(group), key=_rank) from group


async def each(do: Callable[[T], Coroutine[Any, Any, None]], items: Iterable[T], at_once: int = 64) -> None:
    """`do` for all of them. The first error ends the others and is raised as it is."""
    places = anyio.CapacityLimiter(at_once)

    async def one(item: T) -> None:
        async with places:
            await do(item)

    with single():
        async with anyio.create_task_group() as tasks:
            for item in items:
                tasks.start_soon(one, item)


def _leaves(error: BaseException) -> list[BaseException]:
    return [leaf for one in error.exceptions for leaf in _leaves(one)] if isinstance(error, BaseExceptionGroup) else [error]


def _rank(error: BaseException) -> tuple[bool, bool, str]:
    return not isinstance(error, BuildError), isinstance(error, TransientError), str(error)
