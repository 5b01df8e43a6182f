"""The cache's size, beside real builds."""

import asyncio
import json
import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from builder import files
from builder.cache import Cache
from builder.caching import bound
from builder.errors import Busy, StoreError
from builder.files import TEMP_PREFIX, locked
from tests.integration.builder.conftest import HANDLER, Workshop
from tests.integration.builder.test_faults import start


def blobs(workshop: Workshop) -> list[Path]:
    return sorted((workshop.root / "cache/blobs/sha256").iterdir())


def aged(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


class TestTheFolder:
    async def test_is_this_users_only_whatever_the_umask_and_also_if_it_was_open(self, workshop: Workshop) -> None:
        cache = workshop.root / "cache"
        cache.chmod(0o777)
        old = os.umask(0)
        try:
            await workshop.build(workshop.source())
            assert cache.stat().st_mode & 0o777 == 0o700
            files.private(workshop.root / "new/cache")
        finally:
            os.umask(old)
        assert (workshop.root / "new/cache").stat().st_mode & 0o777 == 0o700

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder somebody else's")
    def test_of_another_user_is_refused_for_he_could_change_what_builds_run(self) -> None:
        with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
            folder = Path(name) / "kfn"
            folder.mkdir(mode=0o777)
            os.chown(folder, 65533, 65533)
            os.chmod(name, 0o755)
            os.seteuid(65534)
            try:
                with pytest.raises(StoreError, match="belongs to another user"):
                    files.private(folder)
            finally:
                os.seteuid(0)


class TestTrimming:
    async def test_removes_what_was_not_used_for_longest_with_its_keys_and_the_next_build_makes_it_again(self, workshop: Workshop) -> None:
        source = workshop.source()
        first = await workshop.build(source)
        for path in blobs(workshop):
            aged(path, 3 * 3600)
        freed = bound.trim(workshop.root / "cache", 0)
        assert freed.size > 0
        assert blobs(workshop) == []
        keys = [json.loads(path.read_bytes()) for path in (workshop.root / "cache/keys").iterdir()]
        assert not [key for key in keys if key["facts"].get("layer")]
        assert workshop.store.resolve(first.reference).layers, "what a store has stays there"
        again = await workshop.build(source, store=workshop.root / "new")
        assert again.digest == first.digest

    async def test_leaves_what_was_just_used_and_a_use_makes_an_entry_young(self, workshop: Workshop) -> None:
        source = workshop.source()
        await workshop.build(source)
        for path in blobs(workshop):
            aged(path, 3 * 3600)
        await workshop.build(source)
        assert bound.trim(workshop.root / "cache", 0).entries == 0

    async def test_beside_a_running_build_leaves_what_was_used_in_the_last_hours(self, workshop: Workshop) -> None:
        await workshop.build(workshop.source())
        for path in blobs(workshop):
            aged(path, 3600)
        with bound.using(workshop.root / "cache"):
            assert bound.trim(workshop.root / "cache", 0, grace=0).entries == 0
        assert bound.trim(workshop.root / "cache", 0).entries == 2

    async def test_is_done_by_one_process_at_a_time_and_not_by_every_build(self, workshop: Workshop) -> None:
        source = workshop.source()
        cache = workshop.root / "cache"
        await workshop.build(source, cache_bytes=1)
        for path in blobs(workshop):
            aged(path, 3 * 3600)
        bound.keep(cache, 1)
        assert len(blobs(workshop)) == 2, "somebody looked just now"
        aged(cache / "locks/bounded", 3600)
        with locked(cache / "locks/trim"):
            with pytest.raises(Busy):
                bound.trim(cache, 1)
            bound.keep(cache, 1)
        aged(cache / "locks/bounded", 3600)
        bound.keep(cache, 1)
        assert blobs(workshop) == []

    async def test_takes_folders_whole_and_what_killed_builds_left(self, workshop: Workshop) -> None:
        cache = workshop.root / "cache"
        folder = cache / "rootfs" / "abc"
        (folder / "usr/bin").mkdir(parents=True)
        (folder / "usr/bin/x").write_bytes(b"x" * 1000)
        aged(folder, 3 * 3600)
        left = [cache / "blobs/sha256" / f"{TEMP_PREFIX}1-2", cache / "keys" / f"{TEMP_PREFIX}1-3"]
        for path in left:
            path.touch()
            aged(path, 2 * 3600)
        assert [one.size for one in bound.entries(cache) if one.kind == "unpacked base"] == [1000]
        bound.trim(cache, 0)
        assert not folder.exists()
        assert not any(path.exists() for path in left)

    async def test_reaches_all_that_can_be_made_again_and_leaves_all_that_cannot(self, tmp_path: Path) -> None:
        cache = tmp_path
        again = ("blobs/sha256/a", "debian/indices/b.1", "debian/partial/c", "rootfs/d/x", "unpacked/e/x", "npm/_cacache/f", "go-build/g/h")
        never = ("imported/i", "imported/j.json", "bases/python-1.lock", "debian/releases/k.json", "images/blobs/sha256/l")
        for name in (*again, *never, "go/pkg/mod/m/n"):
            (cache / name).parent.mkdir(parents=True, exist_ok=True)
            (cache / name).write_bytes(b"x" * 100)
        (cache / "go/pkg/mod/m").chmod(0o555)  # as Go makes them
        for path in (*cache.iterdir(), *cache.glob("*/*"), *cache.glob("*/*/*")):
            aged(path, 3 * 3600)
        freed = bound.trim(cache, 0)
        assert freed == bound.Freed(8, 800, 0)
        assert not [name for name in (*again, "go") if (cache / name).exists()]
        assert not [name for name in never if not (cache / name).exists()]
        assert not list((cache / "tmp").iterdir()), "folders that nobody may write to are gone too"

    async def test_takes_what_other_programs_keep_only_when_no_build_used_it(self, tmp_path: Path) -> None:
        cache = tmp_path
        (cache / "npm").mkdir(parents=True)
        (cache / "npm/x").write_bytes(b"x" * 100)
        aged(cache / "npm", 3 * 3600)
        files.in_use(cache / "npm")
        assert bound.trim(cache, 0).entries == 0
        aged(cache / "npm", 3 * 3600)
        assert bound.trim(cache, 0).entries == 1

    async def test_leaves_the_scratch_folder_of_a_running_build_however_old_it_is(self, tmp_path: Path) -> None:
        cache = Cache(tmp_path)
        with cache.folder() as mine:
            (mine / "x").touch()
            aged(mine, 5 * 3600)
            bound.trim(cache.path, 0)
            assert (mine / "x").exists()
        assert not mine.exists()
        dead = cache.path / "tmp" / f"{TEMP_PREFIX}dead"
        dead.mkdir()
        aged(dead, 5 * 3600)
        bound.trim(cache.path, 0)
        assert not dead.exists()


class TestManyBuilds:
    async def test_of_different_projects_beside_a_cache_that_is_emptied_all_the_time_all_succeed(self, workshop: Workshop) -> None:
        sources = [workshop.source(f"f{n % 3}", func_py=HANDLER + f"x = {n % 3}\n") for n in range(8)]
        children = [start(workshop, source) for source in sources]
        while any(child.poll() is None for child in children):
            for path in blobs(workshop):
                if not path.name.startswith("."):
                    try:
                        aged(path, 1800)
                    except FileNotFoundError:
                        continue
            try:
                bound.trim(workshop.root / "cache", 0)
            except Busy:
                pass
            await asyncio.sleep(0.05)
        ended = [await asyncio.to_thread(child.communicate, timeout=60) for child in children]
        assert [child.returncode for child in children] == [0] * 8, [err for _, err in ended]
        assert len({out for out, _ in ended}) == 3

    async def test_killed_at_random_moments_leave_a_cache_of_which_every_entry_is_whole(self, workshop: Workshop) -> None:
        source = workshop.source(func_py=HANDLER, big_py="x = 1\n" * 5000)
        chance = random.Random(4)
        for _ in range(6):
            running = [start(workshop, source) for _ in range(2)]
            await asyncio.sleep(chance.uniform(0.1, 0.7))
            for child in running:
                child.send_signal(signal.SIGKILL)
                await asyncio.to_thread(child.communicate, timeout=20)
        for path in blobs(workshop):
            if not path.name.startswith(TEMP_PREFIX):
                assert subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0] == path.name
        for path in (workshop.root / "cache/keys").glob("*.json"):
            assert json.loads(path.read_bytes())["key"] == path.stem
        result = await workshop.build(source)
        fresh = await workshop.build(source, cache=workshop.root / "other", store=workshop.root / "others")
        assert result.digest == fresh.digest
