"""A server without a disk: the journal, which is the lowest seam, commits at once, or when the test says so."""

import asyncio
from typing import Any

from embedded.api.collector import Collector
from embedded.api.journal import JournalError, Row
from embedded.api.paths import Target
from embedded.api.request import Request
from embedded.api.server import ApiServer
from embedded.api.settings import Settings
from embedded.api.store import Store
from embedded.api.writes import create
from kfn.api.kinds import NAMESPACE


class MemoryJournal:
    def __init__(self) -> None:
        self.held: list[asyncio.Future[None]] | None = None

    def load(self) -> tuple[list[Row], int]:
        return [], 0

    def write(self, row: Row | None, ceiling: int = 0) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.held is None:
            asyncio.get_running_loop().call_soon(done.set_result, None)  # never in the caller's turn, as with a real disk
        else:
            self.held.append(done)
        return done

    def hold(self) -> None:
        self.held = []

    async def commit(self, error: JournalError | None = None) -> None:
        held, self.held = self.held or [], None
        for done in held:
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
        await asyncio.sleep(0)


class Memory:
    """`await Memory.open()`; `call` answers (code, body)."""

    def __init__(self, settings: Settings) -> None:
        self.journal = MemoryJournal()
        self.store = Store(self.journal, settings)  # type: ignore[arg-type]
        self.collector = Collector(self.store)
        self.store.on_change = self.collector.see
        self.server = ApiServer(self.store, settings)

    @classmethod
    async def open(cls, settings: Settings | None = None) -> "Memory":
        memory = cls(settings or Settings())
        await memory.store.start()
        for name in ("default", "other"):
            body = {"metadata": {"name": name}}
            await create(memory.store, Target(NAMESPACE, "", "", ""), Request("POST", "/api/v1/namespaces", body=body))
        return memory

    async def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json", **query: str) -> tuple[int, Any]:
        answer = await self.server.handle(Request(method, path, query, body, content_type, "tester"))
        return answer.status, answer.body

    async def config_map(self, name: str, **meta: Any) -> Any:
        _, body = await self.call("POST", MAPS, {"metadata": {"name": name, **meta}, "data": {"k": "v"}})
        return body

    async def names(self, path: str, **query: str) -> list[str]:
        _, body = await self.call("GET", path, **query)
        return [item["metadata"]["name"] for item in body["items"]]

    async def collect(self) -> None:
        """Let the garbage collector run until it has nothing left to do."""
        task = asyncio.create_task(self.collector.run())
        for _ in range(60):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
PODS = "/api/v1/namespaces/default/pods"
MERGE = "application/merge-patch+json"
