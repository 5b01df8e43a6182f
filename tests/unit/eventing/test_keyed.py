"""Tasks by key: what runs, and what a stop waits for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from eventing.keyed import Keyed


@asynccontextmanager
async def keyed() -> AsyncIterator[Keyed[list[str]]]:
    async with anyio.create_task_group() as tasks:
        yield Keyed(tasks)
        tasks.cancel_scope.cancel()


async def slow_to_end(notes: list[str]) -> None:
    notes.append("began")
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(10)
        notes.append("ended")


class TestATask:
    async def test_runs_on_what_its_owner_keeps_under_its_key(self) -> None:
        async with keyed() as all:
            notes: list[str] = []
            all.start("a", notes, slow_to_end)
            await anyio.sleep(1)
            assert all.get("a") is notes
            assert (notes, len(all), all.all()) == (["began"], 1, [["began"]])
            assert all.get("b") is None

    async def test_that_is_stopped_has_ended_when_that_returns(self) -> None:
        async with keyed() as all:
            notes: list[str] = []
            all.start("a", notes, slow_to_end)
            await anyio.sleep(1)
            assert await all.stop("a") is notes
            assert notes == ["began", "ended"]
            assert (all.get("a"), len(all)) == (None, 0)

    async def test_that_is_stopped_leaves_others_alone(self) -> None:
        left: list[list[str]] = []
        async with keyed() as all:
            for key in "ab":
                all.start(key, [key], slow_to_end)
            await anyio.sleep(1)
            await all.stop("a")
            await anyio.sleep(60)
            left = [list(notes) for notes in all.all()]
        assert left == [["b", "began"]]

    async def test_that_is_stopped_before_it_began_has_ended_too(self) -> None:
        async with keyed() as all:
            all.start("a", [], slow_to_end)
            with anyio.fail_after(60):
                await all.stop("a")

    async def test_that_ended_by_itself_keeps_its_key_until_it_is_stopped(self) -> None:
        async def short(notes: list[str]) -> None:
            notes.append("done")

        async with keyed() as all:
            all.start("a", [], short)
            await anyio.sleep(1)
            assert all.get("a") == ["done"]
            assert await all.stop("a") == ["done"]

    async def test_that_fails_ends_the_group_it_runs_in(self) -> None:
        async def fails(notes: list[str]) -> None:
            raise OSError("no room")

        with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="no room")):
            async with keyed() as all:
                all.start("a", [], fails)
                await anyio.sleep(1)

    async def test_that_was_never_started_is_stopped_already(self) -> None:
        async with keyed() as all:
            assert await all.stop("a") is None
