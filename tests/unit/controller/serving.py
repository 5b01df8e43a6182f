"""A whole controller on an API server in memory, in virtual time, and short ways to say what a user does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
from msgspec.structs import replace

from controller.app import Controller
from controller.settings import Settings
from kfn.api import conditions, core, kinds
from kfn.api.meta import Condition, ObjectMeta
from kfn.api.serving import RevisionSpec, RevisionTemplate, Service, ServiceSpec, TrafficTarget
from kfn.digests import Resolve
from kfn.kube import errors
from kfn.kube.client import Client
from tests.fakes.cluster import FakeCluster
from tests.fakes.kube import FakeApi

START = datetime(2026, 1, 1, tzinfo=UTC)
LATEST = [TrafficTarget(latest_revision=True, percent=100)]


def virtual_now() -> datetime:
    return START + timedelta(seconds=anyio.current_time())


@dataclass
class Platform:
    """What a test acts on: the API server, the cluster behind it, and the user's own calls."""

    api: FakeApi
    cluster: FakeCluster
    client: Client
    restart: Callable[..., Awaitable[None]]

    def apply(self, service: Service) -> Service:
        there = self.api.find(kinds.SERVICE, service.metadata.name)
        return self.api.put(kinds.SERVICE, replace(service, status=there.status) if there else service)

    def service(self, name: str = "hello") -> Service:
        return self.api.the(kinds.SERVICE, name)

    def ready(self, name: str = "hello") -> Condition:
        """The Service's Ready, which must belong to its present generation."""
        service = self.service(name)
        assert service.status.observed_generation == service.metadata.generation
        found = conditions.find(service.status.conditions, "Ready")
        assert found is not None
        return found

    def served(self, name: str = "hello") -> dict[str, int | None]:
        """Which revision gets how many percent."""
        return {t.revision_name: t.percent for t in self.api.the(kinds.ROUTE, name).status.traffic}

    async def settles(self) -> None:
        """Long enough for every key to be worked on, conflicts included; short for any deadline."""
        await anyio.sleep(1)


@asynccontextmanager
async def platform(
    settings: Settings | None = None, prepare: Callable[[FakeApi], None] | None = None, dies_after: int | None = None,
    resolve: Resolve | None = None,
) -> AsyncIterator[Platform]:  # fmt: skip
    """With `dies_after` the controller's writes fail after so many, as if it were gone, until `restart`, which may change its settings."""
    api = FakeApi(virtual_now)
    if prepare is not None:
        prepare(api)
    client = Client(api)
    stopped = anyio.CancelScope()

    async def controller(resolve: Resolve | None, settings: Settings | None) -> None:
        await Controller(client, settings or Settings(), virtual_now, resolve=resolve).run()

    async def mortal() -> None:
        with stopped:
            await controller(resolve, settings)

    def gone(method: str, path: str) -> None:
        if method not in ("GET", "WATCH") and len(api.writes) >= (dies_after or 0):
            raise errors.Unreachable("the controller is dead")

    async with anyio.create_task_group() as tasks:

        async def restart(resolve: Resolve | None = resolve, settings: Settings | None = settings) -> None:
            stopped.cancel()
            await anyio.sleep(0.1)
            api.before = None
            tasks.start_soon(controller, resolve, settings)

        if dies_after is not None:
            api.before = gone
        tasks.start_soon(mortal)
        yield Platform(api, FakeCluster(api, virtual_now), client, restart)
        tasks.cancel_scope.cancel()


def a_service(
    name: str = "hello", *, image: str = "kfn.local/default/hello@sha256:1", traffic: list[TrafficTarget] | None = None,
    labels: dict[str, str] | None = None, revision: str = "", annotations: dict[str, str] | None = None, pod: dict[str, Any] | None = None,
) -> Service:  # fmt: skip
    template = RevisionTemplate(
        metadata=ObjectMeta(name=revision, annotations=annotations or {}),
        spec=RevisionSpec(containers=[core.Container(name="user-container", image=image)], timeout_seconds=300, **(pod or {})),
    )
    meta = ObjectMeta(name=name, namespace="default", labels=labels or {})
    return Service(metadata=meta, spec=ServiceSpec(template=template, traffic=traffic or LATEST))
