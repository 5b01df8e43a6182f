"""What was acknowledged is kept: through kill -9, a full disk, a disk that fails, and a second process."""

import asyncio
import random
import shutil
import sqlite3
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from embedded.api.app import open_server
from embedded.api.journal import JournalError
from embedded.api.local import LocalTransport
from embedded.api.settings import Settings
from kfn.api import kinds
from kfn.kube import errors
from kfn.kube.client import Client

DEFAULTS = Settings()
WRITER = Path(__file__).with_name("writer.py")


@asynccontextmanager
async def opened(path: Path, settings: Settings = DEFAULTS):
    async with open_server(path, settings=settings) as server:
        yield Client(LocalTransport(server))


def config_map(name: str, size: int = 0) -> dict:
    return {"metadata": {"name": name}, "data": {"k": "x" * size}}


async def written_until_killed(path: Path, turn: int, seconds: float) -> list[list[str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WRITER), str(path), str(turn), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    first = await asyncio.wait_for(process.stdout.readline(), 20)
    await asyncio.sleep(seconds)
    process.kill()
    out, err = await process.communicate()
    assert first, err.decode()
    return [line.split() for line in (first + out).decode().splitlines() if line.count(" ") == 3]


class TestKill:
    async def test_every_acknowledged_write_survives_kill_9_and_versions_never_go_back(self, tmp_path):
        path, expected, highest = tmp_path / "state.db", {}, 0
        for turn in range(4):
            lines = await written_until_killed(path, turn, random.uniform(0.05, 0.4))
            assert min(int(rv) for line in lines for rv in line[2:]) > highest
            highest = max(int(rv) for line in lines for rv in line[2:])
            for name, value, *_ in lines:
                expected[name] = int(value)
        async with opened(path) as client:
            items, version = await client.list(kinds.CONFIG_MAP, "default")
            have = {i.metadata.name: int(i.data["n"]) for i in items}
            assert int(version) > highest
        lost = {n: v for n, v in expected.items() if have.get(n, -1) < v}  # a later write may be there, unacknowledged
        assert not lost
        assert len(expected) > 20

    async def test_an_owner_deleted_before_a_kill_takes_its_dependents_after_it(self, tmp_path):
        path = tmp_path / "state.db"
        async with opened(path) as client:
            owner = await client.create(kinds.CONFIG_MAP, config_map("owner"), "default")
            reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
            child = {"metadata": {"name": "child", "ownerReferences": [reference]}}
            await client.create(kinds.SECRET, child, "default")
        with sqlite3.connect(path) as db:  # as if the kill came between the two
            db.execute("DELETE FROM objects WHERE name = 'owner'")
        db.close()
        async with opened(path) as client, asyncio.timeout(5):
            while (await client.list(kinds.SECRET, "default"))[0]:
                await asyncio.sleep(0.01)


class TestDisk:
    async def test_a_full_disk_refuses_writes_with_the_reason_and_loses_nothing(self, tmp_path):
        path = tmp_path / "state.db"
        async with opened(path, Settings(max_state_mib=1)) as client:
            stored = []
            with pytest.raises(errors.ApiError, match=r"state\.db cannot be written: .*full.*free some space") as refused:
                for i in range(50):
                    await client.create(kinds.CONFIG_MAP, config_map(f"c{i}", 100_000), "default")
                    stored.append(f"c{i}")
            assert (refused.value.code, refused.value.reason) == (507, "InsufficientStorage")
            assert [i.metadata.name for i in (await client.list(kinds.CONFIG_MAP))[0]] == sorted(stored)
            await client.create(kinds.POD, {"metadata": {"name": "p"}}, "default")  # needs no disk
            await client.delete(kinds.CONFIG_MAP, stored[0], "default")  # makes room
            await client.create(kinds.CONFIG_MAP, config_map("small"), "default")
        async with opened(path) as client:
            assert {i.metadata.name for i in (await client.list(kinds.CONFIG_MAP))[0]} == {*stored[1:], "small"}

    async def test_a_write_that_failed_is_neither_read_nor_watched(self, tmp_path):
        async with opened(tmp_path / "state.db", Settings(max_state_mib=1)) as client:
            _, version = await client.list(kinds.CONFIG_MAP)
            async with client.watch(kinds.CONFIG_MAP, resource_version=version) as events:
                with pytest.raises(errors.ApiError):
                    await client.create(kinds.CONFIG_MAP, config_map("huge", 2_000_000), "default")
                await client.create(kinds.CONFIG_MAP, config_map("small"), "default")
                assert (await anext(events)).object.metadata.name == "small"
            with pytest.raises(errors.NotFound):
                await client.get(kinds.CONFIG_MAP, "huge", "default")

    async def test_a_directory_that_is_missing_is_named(self, tmp_path):
        with pytest.raises(JournalError, match="nowhere"):
            async with open_server(tmp_path / "nowhere" / "state.db"):
                pass


class TestFile:
    async def test_a_second_process_on_the_same_file_is_refused(self, tmp_path):
        async with opened(tmp_path / "state.db"):
            with pytest.raises(JournalError, match="in use by another process"):
                async with open_server(tmp_path / "state.db", settings=Settings(busy_seconds=0.05)):
                    pass

    async def test_a_file_of_a_newer_kfn_is_left_alone(self, tmp_path):
        path = tmp_path / "state.db"
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
        for _ in range(2):  # a failed try leaves no lock behind
            with pytest.raises(JournalError, match="newer kfn"):
                async with open_server(path):
                    pass

    async def test_a_damaged_file_is_said_to_be_damaged(self, tmp_path):
        path = tmp_path / "state.db"
        path.write_bytes(b"this is no database" * 1000)
        with pytest.raises(JournalError, match="is damaged"):
            async with open_server(path):
                pass

    async def test_a_copy_made_after_a_kill_opens_like_the_original(self, tmp_path):
        path = tmp_path / "state.db"
        lines = await written_until_killed(path, 0, 0.1)
        copy = tmp_path / "copy"
        copy.mkdir()
        for file in tmp_path.glob("state.db*"):
            shutil.copy(file, copy / file.name)
        async with opened(copy / "state.db") as client:
            names = {i.metadata.name for i in (await client.list(kinds.CONFIG_MAP, "default"))[0]}
        assert {line[0] for line in lines} <= names
