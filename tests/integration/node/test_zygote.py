"""The warm parent, for real: processes, descriptors, signals."""

import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from embedded.node.process import Exit, Launch, Warmth
from embedded.node.zygote import Zygote

ENTRY = """
import os, sys, random, time, signal
def main():
    what = os.environ.get("WHAT", "")
    print("hello from", os.environ.get("NAME"), os.getcwd(), sys.path[0], flush=True)
    if what == "exit":
        return 3
    if what == "raise":
        raise RuntimeError("on purpose")
    if what == "random":
        print("random", random.random(), flush=True)
        return 0
    if what == "grandchild":
        import subprocess
        child = subprocess.Popen(["sleep", "300"])
        print("grandchild", child.pid, flush=True)
    fd = os.environ.get("KFN_READY_FD")
    if fd:
        os.write(int(fd), b'{"ready": true}\\n')
    time.sleep(300)
"""


@asynccontextmanager
async def zygote(
    tmp_path: Path, *preload: str, path: tuple[str, ...] = (), deps: tuple[str, ...] = (), rehearse: str = "pass"
) -> AsyncIterator[Zygote]:
    (tmp_path / "fake_entry.py").write_text(f"{ENTRY}\ndef rehearse():\n    {rehearse}\n")
    warmth = Warmth(sys.executable, (str(tmp_path), *path), ("json", "random"), preload, "fake_entry:main", deps)
    warm = Zygote(warmth, "test", marker={"KFN_NODE": "test"})
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(warm.run)
        yield warm
        tasks.cancel_scope.cancel()


async def run(warm: Zygote, **env: str) -> tuple[Exit, str]:
    read, write = os.pipe()
    process = await warm.start(Launch("x", {"PATH": os.environ["PATH"], "NAME": "x", **env}, cwd="/tmp", path=("/src",)), write, None)
    with anyio.fail_after(30):
        ended = await process.ended
    with open(read, "rb") as file:
        return ended, file.read().decode()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def gone(pid: int) -> bool:
    with anyio.move_on_after(30):
        while alive(pid):
            await anyio.sleep(0.01)
    return not alive(pid)


async def start_sleeper(warm: Zygote, **env: str) -> tuple[int, int]:
    """Start an instance that stays; answers its pid and what it printed in `grandchild`, or 0."""
    log_r, log_w = os.pipe()
    ready_r, ready_w = os.pipe()
    process = await warm.start(Launch("x", {"PATH": os.environ["PATH"], **env}), log_w, ready_w)
    with open(ready_r, "rb") as ready, open(log_r, "rb") as out:
        line = await anyio.to_thread.run_sync(ready.readline)
        assert b"true" in line
        words = os.read(out.fileno(), 4096).decode().split()
    return await process.started, int(words[-1]) if "grandchild" in words else 0


async def test_a_child_gets_its_environment_folder_and_path(tmp_path: Path) -> None:
    async with zygote(tmp_path) as warm:
        ended, text = await run(warm, WHAT="exit")
    assert ended == Exit(3)
    assert text == "hello from x /tmp /src\n"


async def test_an_uncaught_error_is_in_the_log_and_exits_1(tmp_path: Path) -> None:
    async with zygote(tmp_path) as warm:
        ended, text = await run(warm, WHAT="raise")
    assert ended.exit_code == 1
    assert "RuntimeError: on purpose" in text


async def test_dependencies_come_behind_the_standard_library_with_what_their_pth_files_name(tmp_path: Path) -> None:
    files = {
        "one/numbers.py": "raise ImportError",
        "one/plain.py": "",
        "one/more.pth": "more\n",
        "one/more/hidden.py": "",
        "two/second.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    deps = (str(tmp_path / "one"), str(tmp_path / "two"))
    async with zygote(tmp_path, "numbers", "plain", "hidden", "second", deps=deps) as warm:
        assert (await run(warm, WHAT="exit"))[0] == Exit(3)
        assert warm.dropped == {}


async def test_two_children_draw_different_random_numbers(tmp_path: Path) -> None:
    async with zygote(tmp_path) as warm:
        first, second = await run(warm, WHAT="random"), await run(warm, WHAT="random")
    assert first[1] != second[1]


async def test_a_command_runs_instead_of_the_function(tmp_path: Path) -> None:
    async with zygote(tmp_path) as warm:
        read, write = os.pipe()
        process = await warm.start(
            Launch("x", {"PATH": os.environ["PATH"], "A": "b"}, argv=("sh", "-c", "echo $A; kill -9 $$")), write, None
        )
        ended = await process.ended
        with open(read) as file:
            assert file.read() == "b\n"
    assert ended.exit_code == 137


async def test_when_the_zygote_is_killed_its_children_go_and_it_comes_back(tmp_path: Path) -> None:
    async with zygote(tmp_path) as warm:
        pid, _ = await start_sleeper(warm)
        os.kill(killed := warm.pid, signal.SIGKILL)
        assert await gone(pid)
        with anyio.fail_after(30):
            while warm.pid == killed:  # a child that is asked for before this is noticed goes with it
                await anyio.sleep(0.01)
        ended, _ = await run(warm, WHAT="exit")
        assert ended == Exit(3)


async def test_when_the_node_goes_children_and_their_children_go(tmp_path: Path) -> None:
    async with zygote(tmp_path) as warm:
        pid, grandchild = await start_sleeper(warm, WHAT="grandchild")
        assert alive(pid) and alive(grandchild)
    assert await gone(pid) and await gone(grandchild)


async def test_a_preload_module_that_fails_is_left_out_and_named(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise ValueError('no licence')")
    (tmp_path / "good.py").write_text("")
    async with zygote(tmp_path, "bad", "good") as warm:
        ended, _ = await run(warm, WHAT="exit")
        assert ended == Exit(3)
        assert warm.dropped == {"bad": "its import failed: ValueError: no licence"}


async def test_a_preload_module_that_starts_a_thread_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "threads.py").write_text("import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()")
    async with zygote(tmp_path, "threads") as warm:
        ended, _ = await run(warm, WHAT="exit")
        assert ended == Exit(3)
        assert "started 1 thread" in warm.dropped["threads"]


async def test_a_fork_takes_a_few_milliseconds(tmp_path: Path) -> None:
    async with zygote(tmp_path) as warm:
        await run(warm, WHAT="exit")
        best = 1.0
        for _ in range(5):
            began = time.perf_counter()
            await run(warm, WHAT="exit")
            best = min(best, time.perf_counter() - began)
    assert best < 0.1


class TestSpare:
    """One child is forked ahead, while nobody waits for it."""

    async def test_it_becomes_the_next_instance(self, tmp_path: Path) -> None:
        async with zygote(tmp_path) as warm:
            spare = await self._spare(warm)
            pid, _ = await start_sleeper(warm)
            assert pid == spare
            assert await self._spare(warm) != pid

    async def test_one_start_is_one_process(self, tmp_path: Path) -> None:
        async with zygote(tmp_path) as warm:
            for _ in range(8):
                spare = await self._spare(warm)
                pid, _ = await start_sleeper(warm)
                assert pid == spare
            known = {child.pid for child in warm.children.values()}
            assert len(set(children(warm.pid)) - known) <= 1

    async def test_one_that_was_killed_is_not_missed(self, tmp_path: Path) -> None:
        async with zygote(tmp_path) as warm:
            spare = await self._spare(warm)
            os.kill(spare, signal.SIGKILL)
            assert await gone(spare)
            ended, said = await run(warm, WHAT="exit")
            assert ended == Exit(3) and "hello from x" in said

    async def test_it_goes_with_its_zygote(self, tmp_path: Path) -> None:
        async with zygote(tmp_path) as warm:
            spare = await self._spare(warm)
        assert await gone(spare)

    async def test_a_rehearsal_that_fails_leaves_it_of_use(self, tmp_path: Path) -> None:
        async with zygote(tmp_path, rehearse="raise RuntimeError('on purpose')") as warm:
            await self._spare(warm)
            assert (await run(warm, WHAT="exit"))[0] == Exit(3)

    async def _spare(self, warm: Zygote) -> int:
        """The zygote's child that is nobody's instance; there is one soon."""
        with anyio.fail_after(30):
            while True:
                known = {child.pid for child in warm.children.values()}
                if warm.pid and (found := [pid for pid in children(warm.pid) if pid not in known and alive(pid)]):
                    await anyio.sleep(0.05)  # for its rehearsal
                    return found[0]
                await anyio.sleep(0.01)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
