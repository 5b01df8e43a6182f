"""What the server asks of a handler of any kind."""

from typing import Protocol

from kfn.function.exchange import Exchange


class Application(Protocol):
    """A function, whatever its kind."""

    async def start(self) -> None:
        """Once, before the function is ready."""
        ...

    async def stop(self) -> None:
        """Once, after the last request."""
        ...

    async def health(self, what: str) -> tuple[bool, str]:
        """`what` is `alive` or `ready`."""
        ...

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        ...
