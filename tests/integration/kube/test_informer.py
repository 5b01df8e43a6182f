"""Informers against an API server, over HTTP, that drops connections, forgets history and repeats itself."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from kfn.api import kinds
from kfn.api.core import ConfigMap
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport
from kfn.kube.informer import Informer
from tests.fakes.faulty_api import FaultyApi, faulty_api


class Seen:
    """What an informer told: (name, old value, new value)."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str | None, str | None]] = []

    def __call__(self, old: ConfigMap | None, new: ConfigMap | None) -> None:
        name = (new or old).metadata.name  # type: ignore[union-attr]
        self.changes.append((name, old.data["value"] if old else None, new.data["value"] if new else None))


@asynccontextmanager
async def informed() -> AsyncIterator[tuple[FaultyApi, Informer[ConfigMap], Seen]]:
    async with faulty_api() as (api, config):
        api.set("a", "1")
        transport = HttpTransport(config)
        informer = Informer(Client(transport), kinds.CONFIG_MAP)
        seen = Seen()
        informer.on_change(seen)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(informer.run)
            with anyio.fail_after(30):
                await informer.synced()
            yield api, informer, seen
            tasks.cancel_scope.cancel()
        await transport.aclose()


async def eventually(check: Callable[[], bool]) -> None:
    with anyio.fail_after(30):
        while not check():
            await anyio.sleep(0.01)


def value(informer: Informer[ConfigMap], name: str) -> str | None:
    found = informer.get("default", name)
    return found.data["value"] if found else None


@pytest.fixture(autouse=True)
def _expected_noise(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)


async def test_changes_arrive_in_order() -> None:
    async with informed() as (api, informer, seen):
        api.set("a", "2")
        api.set("b", "1")
        api.remove("a")
        await eventually(lambda: value(informer, "a") is None and value(informer, "b") == "1")
        assert seen.changes == [("a", None, "1"), ("a", "1", "2"), ("b", None, "1"), ("a", "2", None)]


async def test_a_cut_watch_resumes_where_it_was_without_listing_again() -> None:
    async with informed() as (api, informer, seen):
        await eventually(lambda: len(api.watches) == 1)
        api.set("a", "2")
        await eventually(lambda: value(informer, "a") == "2")
        api.cut()
        api.set("a", "3")
        await eventually(lambda: value(informer, "a") == "3")
        assert api.lists == 1
        assert api.watches[1] == 2
        assert seen.changes[-1] == ("a", "2", "3")


async def test_expired_history_is_listed_again_and_the_difference_told() -> None:
    async with informed() as (api, informer, seen):
        await eventually(lambda: len(api.watches) == 1)
        api.set("gone", "1")
        await eventually(lambda: value(informer, "gone") == "1")
        api.cut()
        api.set("b", "1")
        api.remove("gone")
        api.forget()
        await eventually(lambda: value(informer, "b") == "1" and value(informer, "gone") is None)
        assert api.lists >= 2
        assert seen.changes.count(("gone", "1", None)) == 1
        assert seen.changes.count(("a", None, "1")) == 1, "what did not change is not told again"


async def test_repeated_and_stale_events_are_told_once() -> None:
    async with informed() as (api, informer, seen):
        api.set("a", "2")
        api.set("a", "3")
        api.repeat_last(2)
        api.bookmark()
        api.set("z", "end")
        await eventually(lambda: value(informer, "z") == "end")
        assert seen.changes == [("a", None, "1"), ("a", "1", "2"), ("a", "2", "3"), ("z", None, "end")]


async def test_a_bookmark_moves_the_point_to_resume_from() -> None:
    async with informed() as (api, informer, _):
        await eventually(lambda: len(api.watches) == 1)
        api.version += 40
        api.bookmark()
        api.set("b", "1")
        await eventually(lambda: value(informer, "b") == "1")
        api.cut()
        await eventually(lambda: len(api.watches) == 2)
        assert api.watches[1] == 42


async def test_a_server_that_refuses_for_a_while_is_asked_again() -> None:
    async with informed() as (api, informer, _):
        await eventually(lambda: len(api.watches) == 1)
        api.refuse = 3
        api.cut()
        api.set("a", "2")
        await eventually(lambda: value(informer, "a") == "2")
        assert api.refuse == 0


async def test_it_tells_for_how_long_the_server_could_not_be_followed() -> None:
    async with informed() as (api, informer, _):
        await eventually(lambda: informer.stale == 0)
        api.refuse = 1_000_000
        api.cut()
        await eventually(lambda: informer.stale > 0)
        before = informer.stale
        await eventually(lambda: informer.stale > before)
        api.refuse = 0
        await eventually(lambda: informer.stale == 0)


async def test_a_failing_handler_does_not_stop_the_informer(caplog: pytest.LogCaptureFixture) -> None:
    async with informed() as (api, informer, seen):

        def fail(old: ConfigMap | None, new: ConfigMap | None) -> None:
            raise RuntimeError("a bug in a handler")

        informer.on_change(fail)
        api.set("a", "2")
        await eventually(lambda: value(informer, "a") == "2")
        assert seen.changes[-1] == ("a", "1", "2")
        assert "a change handler failed" in caplog.text


async def test_what_is_kept_may_be_smaller_than_what_is_told() -> None:
    async with faulty_api() as (api, config):
        api.set("a", "1")
        transport = HttpTransport(config)
        informer = Informer(Client(transport), kinds.CONFIG_MAP, keep=lambda o: ConfigMap(metadata=o.metadata, data={"value": "kept"}))
        seen = Seen()
        informer.on_change(seen)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(informer.run)
            await eventually(lambda: bool(seen.changes))
            api.set("a", "2")
            await eventually(lambda: len(seen.changes) == 2)
            tasks.cancel_scope.cancel()
        await transport.aclose()
        assert seen.changes == [("a", None, "1"), ("a", "kept", "2")] and value(informer, "a") == "kept"
