"""Virtual time for unit tests: when no task can run, the loop's clock jumps to the next timer."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

import pytest


class JumpingSelector(selectors.DefaultSelector):
    """Serve ready I/O first; where the real selector would wait, move the clock instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0 if timeout else timeout)
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Any]:
    return {"virtual": VirtualLoop}
