"""Keeping an object in the API server equal to a value that changes; which log folders stay."""

import os
from pathlib import Path

import anyio

from embedded.node.logkeep import tidy
from embedded.node.mirror import Mirror
from kfn.kube.errors import NotFound, Unreachable


async def test_values_that_come_during_a_write_are_skipped_but_the_newest() -> None:
    written: list[int] = []

    async def write(value: int) -> None:
        await anyio.sleep(1)
        written.append(value)

    async with anyio.create_task_group() as tasks:
        mirror = Mirror(tasks, "x", write)
        for value in range(5):
            mirror.set(value)
            await anyio.sleep(0.1)
        await mirror.settled()
    assert written == [0, 4]


async def test_with_a_delay_changes_are_gathered_into_one_write() -> None:
    written: list[tuple[float, int]] = []

    async def write(value: int) -> None:
        written.append((anyio.current_time(), value))

    async with anyio.create_task_group() as tasks:
        mirror = Mirror(tasks, "x", write, after=0.5)
        mirror.set(1)
        await anyio.sleep(0.1)
        mirror.set(2)
    assert written == [(0.5, 2)]


async def test_an_unreachable_server_is_asked_again_with_the_newest_value() -> None:
    written: list[int] = []

    async def write(value: int) -> None:
        if anyio.current_time() < 10:
            raise Unreachable("away")
        written.append(value)

    async with anyio.create_task_group() as tasks:
        mirror = Mirror(tasks, "x", write)
        mirror.set(1)
        await anyio.sleep(3)
        mirror.set(2)
    assert written == [2]
    assert 10 <= anyio.current_time() <= 15


async def test_an_object_that_is_gone_is_not_written_again() -> None:
    tries = 0

    async def write(value: int) -> None:
        nonlocal tries
        tries += 1
        raise NotFound(404, "NotFound", "gone")

    async with anyio.create_task_group() as tasks:
        Mirror(tasks, "x", write).set(1)
    assert tries == 1


def test_the_logs_of_the_last_pods_of_each_revision_stay(tmp_path: Path) -> None:
    for age, name in enumerate(["a-dep-1", "a-dep-2", "a-dep-3", "a-dep-4", "b-dep-1"]):
        folder = tmp_path / "default" / name
        folder.mkdir(parents=True)
        os.utime(folder, (1000 + age, 1000 + age))
    tidy(tmp_path, {("default", "a-dep-1")}, kept=1)
    assert sorted(p.name for p in (tmp_path / "default").iterdir()) == ["a-dep-1", "a-dep-4", "b-dep-1"]


def test_logs_of_a_revision_that_is_gone_are_removed_after_a_while(tmp_path: Path) -> None:
    for name in ("gone-00001-deployment-a", "gone-00001-deployment-b", "here-00001-deployment-a"):
        (tmp_path / "ns" / name).mkdir(parents=True)
        os.utime(tmp_path / "ns" / name, (1, 1))
    os.utime(tmp_path / "ns" / "gone-00001-deployment-b")
    tidy(tmp_path, set(), 10, {("ns", "here-00001-deployment")}, 3600)
    assert sorted(p.name for p in (tmp_path / "ns").iterdir()) == ["gone-00001-deployment-b", "here-00001-deployment-a"]
