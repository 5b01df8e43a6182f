"""Construction: open the state file, read it, and run the API server while the context is open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from embedded.api import writes
from embedded.api.collector import Collector
from embedded.api.deletes import KEPT_NAMESPACES
from embedded.api.journal import Journal
from embedded.api.paths import Target
from embedded.api.request import Request
from embedded.api.server import ApiServer
from embedded.api.settings import Settings
from embedded.api.store import Store
from kfn.api.kinds import NAMESPACE

_DEFAULTS = Settings()


@asynccontextmanager
async def open_server(path: Path, *, settings: Settings = _DEFAULTS) -> AsyncIterator[ApiServer]:
    """The API server over the state file at `path` (made if missing). Raises `JournalError` when that cannot be used.

    On leaving, every write that was asked for has been committed.
    """
    journal = Journal(path, settings)
    try:
        store = Store(journal, settings)
        await store.start()
        collector = Collector(store)
        store.on_change = collector.see
        server = ApiServer(store, settings)
        for name in KEPT_NAMESPACES:
            if store.get(NAMESPACE, ("", name)) is None:
                await writes.create(
                    store, Target(NAMESPACE, "", "", ""), Request("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
                )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collector.run)
            try:
                yield server
            finally:
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await journal.close()
