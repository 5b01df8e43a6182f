"""`kfn source-adapter apiserver`: one source's adapter as a process, ready from the moment it follows what it is to follow."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from prometheus_client import CollectorRegistry

from cli.process.run import Shell
from eventing.apiserver.adapter import Adapter
from eventing.apiserver.config import TOKENS, Config
from eventing.apiserver.numbers import Numbers
from eventing.courier import Courier
from eventing.settings import Settings
from kfn.part import running

LOOK = 0.5  # seconds between looks at what it still waits for


def _token() -> str:
    """The first that the Secret has; read for each attempt, for it may be replaced."""
    folder = os.environ.get(TOKENS, "")
    try:
        files = sorted(one for one in Path(folder).iterdir() if one.is_file() and not one.name.startswith(".")) if folder else []
        return files[0].read_text().strip() if files else ""
    except (OSError, UnicodeError):
        return ""


class Part:
    def __init__(self, config: Config, url: str) -> None:
        self._config, self._url = config, url

    @asynccontextmanager
    async def __call__(self, shell: Shell) -> AsyncIterator[Mapping[str, str]]:
        numbers, courier = Numbers(CollectorRegistry()), Courier(Settings())
        shell.registries.append(numbers.registry)
        adapter = Adapter(shell.client, courier, numbers, self._config, self._url, token=_token)
        try:
            async with running("source-adapter", adapter.run):
                while not adapter.following.is_set():
                    shell.health.waiting = adapter.waiting_for
                    with anyio.move_on_after(LOOK):
                        await adapter.following.wait()
                shell.follows = adapter.informers
                yield {"source": self._config.key, "sink": self._url}
        finally:
            await courier.aclose()
