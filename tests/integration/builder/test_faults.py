"""Builds that are killed, run at the same time, meet a full disk, a damaged cache or a folder they may not write to."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import anyio
import pytest

from builder import process
from builder.errors import BuildError, Busy, DiskFull
from builder.files import TEMP_PREFIX, locked
from tests.integration.builder.conftest import HANDLER, Workshop

SCRIPT = """
import resource, sys
from pathlib import Path
import anyio
from builder.app import BuildOptions, build
from builder.errors import BuildError
limit = int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
root = Path(sys.argv[1])
try:
    result = anyio.run(build, Path(sys.argv[2]), BuildOptions(store=root / "images", cache=root / "cache"), lambda step: None)
except BuildError as error:
    sys.exit(f"{type(error).__name__} {error.exit_code} {error}")
print(result.reference)
"""


def start(workshop: Workshop, source: Path, limit: int = 0) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(workshop.root), str(source), str(limit)]
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def temporary(workshop: Workshop) -> list[Path]:
    return [path for path in workshop.root.rglob(f"{TEMP_PREFIX}*") if path.exists()]


async def test_builds_at_the_same_time_all_succeed_with_one_digest(workshop: Workshop) -> None:
    source = workshop.source()
    children = [start(workshop, source) for _ in range(3)]
    ended = [await asyncio.to_thread(child.communicate, timeout=60) for child in children]
    assert len({out for out, _ in ended}) == 1, ended
    assert workshop.store.resolve(ended[0][0].strip()).layers
    assert len(workshop.store.references()) == 1
    assert temporary(workshop) == []


@pytest.mark.parametrize("after", [0.15, 0.3, 0.4, 0.5])
async def test_a_killed_build_leaves_no_image_and_breaks_nothing_for_the_next(workshop: Workshop, after: float) -> None:
    source = workshop.source(func_py=HANDLER, big_py="x = 1\n" * 20_000)
    child = start(workshop, source)
    await asyncio.sleep(after)
    child.send_signal(signal.SIGKILL)
    out, _ = await asyncio.to_thread(child.communicate, timeout=20)
    for reference in workshop.store.references():
        assert workshop.store.resolve(reference).layers, "a listed image is whole"
    result = await workshop.build(source)
    assert out.strip() in ("", result.reference)
    fresh = await workshop.build(source, cache=workshop.root / "other", store=workshop.root / "others")
    assert fresh.digest == result.digest


async def test_a_full_disk_is_named_and_leaves_nothing_behind(workshop: Workshop) -> None:
    source = workshop.source(func_py=HANDLER, data_txt="x" * 600_000)
    child = start(workshop, source, limit=500_000)  # the kernel then says EFBIG as it says ENOSPC
    _, said = await asyncio.to_thread(child.communicate, timeout=60)
    assert said.startswith("DiskFull 75"), said
    assert str(workshop.root / "cache") in said
    assert "MB are free there" in said
    assert temporary(workshop) == []
    assert workshop.store.references() == ()
    await workshop.build(source)


async def test_a_really_full_file_system_is_named(workshop: Workshop, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        source = workshop.source(func_py=HANDLER)
        for folder in ("cache", "store"):
            with pytest.raises(DiskFull, match="No space left"):
                await workshop.build(source, **{folder: small / folder})
        assert not [path for path in small.rglob(f"{TEMP_PREFIX}*") if path.is_file()]
    finally:
        subprocess.run(["umount", str(small)], check=True)


async def test_a_damaged_cached_layer_is_made_again_with_a_warning(workshop: Workshop) -> None:
    source = workshop.source()
    first = await workshop.build(source)
    for path in (workshop.root / "cache/blobs/sha256").iterdir():
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(b"x" + content[1:])
    again = await workshop.build(source, store=workshop.root / "new")
    assert again.digest == first.digest
    assert any("had changed on disk and was made again" in warning for warning in again.warnings)


@pytest.mark.parametrize("damage", [b"", b"not json", b"[]", b'{"layer": 5}'])
async def test_a_damaged_cache_entry_counts_as_none(workshop: Workshop, damage: bytes) -> None:
    source = workshop.source()
    first = await workshop.build(source)
    for path in (workshop.root / "cache/keys").iterdir():
        path.write_bytes(damage)
    assert (await workshop.build(source)).digest == first.digest


async def test_a_folder_that_cannot_be_made_is_named(workshop: Workshop) -> None:
    (workshop.root / "file").touch()
    with pytest.raises(BuildError, match="file"):
        await workshop.build(workshop.source(), cache=workshop.root / "file" / "cache")


async def test_a_cancelled_build_leaves_no_child_behind(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(process.run, ["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"], timeout=30))
        with anyio.fail_after(20):
            while not (pid.exists() and pid.read_text().strip()):
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(int(pid.read_text()), 0)
            if "Z" in Path(f"/proc/{int(pid.read_text())}/stat").read_text().split()[2]:
                raise ProcessLookupError
            await asyncio.sleep(0.02)


async def test_a_program_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(process.TookTooLong, match=r"sleep was stopped after 0\.2 s") as error:
        await process.run(["sleep", "60"], timeout=0.2)
    assert error.value.exit_code == 75


def test_a_lock_that_is_never_given_back_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"), pytest.raises(Busy, match="another kfn process"), locked(tmp_path / "lock", timeout=0.1):
        pass
