"""Reads what a child writes into a pipe, on the event loop, without a task."""

import asyncio
import os
from collections.abc import Callable

import anyio

PIECE = 64 * 1024


class PipeReader:
    """A pipe: `write_fd` goes to the child (whoever passes it on closes it), what comes out goes to `on_data`."""

    def __init__(self, on_data: Callable[[bytes], None]) -> None:
        self._on_data = on_data
        self._read, self.write_fd = os.pipe()
        os.set_blocking(self._read, False)
        self.ended = anyio.Event()
        asyncio.get_running_loop().add_reader(self._read, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._read, PIECE)
        except BlockingIOError:
            return
        if data:
            self._on_data(data)
        else:
            self.close()

    def close(self) -> None:
        if not self.ended.is_set():
            asyncio.get_running_loop().remove_reader(self._read)
            os.close(self._read)
            self.ended.set()
