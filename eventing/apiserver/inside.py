"""Adapters in eventing's own process, one a source: on the embedded platform, whose API server has no rights to tell apart."""

from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from eventing.apiserver.adapter import Adapter
from eventing.apiserver.config import Config
from eventing.apiserver.numbers import Numbers
from eventing.conditions import true, unknown
from eventing.courier import Courier
from eventing.keyed import Keyed
from kfn.api.apiserversource import ApiServerSource
from kfn.api.meta import Condition
from kfn.kube.client import Client

SHORT = 0.5  # seconds in which it usually follows


@dataclass(slots=True)
class _Running:
    config: Config
    adapter: Adapter


class Inside:
    """`tasks` is where they run."""

    def __init__(self, client: Client, courier: Courier, numbers: Numbers, tasks: TaskGroup) -> None:
        self._client, self._courier, self._numbers = client, courier, numbers
        self._running: Keyed[_Running] = Keyed(tasks)

    async def ensure(self, source: ApiServerSource, config: Config, url: str) -> Condition:
        """Run it, anew if it is to do something else; the condition Deployed."""
        running = self._running.get(config.key)
        if running is None or running.config != config:
            await self._running.stop(config.key)
            running = _Running(config, Adapter(self._client, self._courier, self._numbers, config, url))
            self._running.start(config.key, running, lambda one: one.adapter.run())
        running.adapter.url = url
        with anyio.move_on_after(SHORT):
            await running.adapter.following.wait()
        why = running.adapter.waiting_for
        return unknown("Deployed", "Starting", why) if why else true("Deployed")

    async def stop(self, key: str) -> None:
        """Return when nothing of it runs."""
        await self._running.stop(key)
        self._numbers.forget(key)
