"""Threads beside a test: clients, writers and whatever else goes on while a block runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(over: threading.Event, *works: Callable[[], object], within: float | None = None) -> Iterator[None]:
    """Do each of `works` in a thread of its own while the block runs. Then `over` is set, which they look at, and they are waited for:
    `within` seconds each, or as long as it takes."""
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(within)
