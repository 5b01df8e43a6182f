"""What a function and other users of the machine can see of the platform, and what becomes of a platform in bad surroundings."""

import asyncio
import json
import os
import signal
import sqlite3
import stat
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.e2e.harness import KFN, Platform, descendants, function, is_alive, run, running

SPY = """
import json, os, sys

def handle(request):
    fds = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            fds[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass
    mask = os.umask(0o22)
    os.umask(mask)
    read = lambda pid: open(f"/proc/{pid}/environ").read().split(chr(0))
    return {"env": dict(os.environ), "read": read("self") + read(os.getppid()), "fds": fds, "umask": mask}
"""
ALLOWED = {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "SSL_CERT_FILE"}
OWN = ("KFN_", "K_", "PYTHON", "PORT")


class TestWhatAFunctionSees:
    async def test_nothing_of_the_environment_of_kfn_up_but_what_programs_need_and_no_open_file_of_the_platform(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_SECRET_ACCESS_KEY", "KUBECONFIG", "GITHUB_TOKEN", "HTTPS_PROXY", "https_proxy", "PIP_INDEX_URL", "SSH_AUTH_SOCK"):
            monkeypatch.setenv(name, "hunter2")
        async with running(tmp_path / "data") as p:
            await p.kfn("deploy", str(function(tmp_path / "spy", SPY)))
            seen = (await p.request("spy.default.localhost")).json()
            names = set(seen["env"]) | {text.partition("=")[0] for text in seen["read"] if text}
            assert not {name for name in names if name not in ALLOWED and not name.startswith(OWN)}
            assert "hunter2" not in json.dumps(seen) and (tmp_path / "data/token").read_text().strip() not in json.dumps(seen)
            assert seen["umask"] == 0o22
            assert not [target for target in seen["fds"].values() if str(tmp_path) in target]
            self.no_platform_sockets(p, seen["fds"])

    def no_platform_sockets(self, p: Platform, fds: dict[str, str]) -> None:
        """Of all sockets and pipes that the platform has open, an instance shares only its log and its word that it is ready."""
        ours = {os.readlink(f"/proc/{p.facts['pid']}/fd/{fd}") for fd in os.listdir(f"/proc/{p.facts['pid']}/fd") if fd.isdecimal()}
        shared = {target for target in fds.values() if target in ours and not target.startswith("anon_inode")}
        assert shared <= {fds["1"], "/dev/null"} | {t for t in fds.values() if t.startswith("pipe:")} and not [
            t for t in shared if t.startswith("socket:")
        ]


class TestWhatOthersSee:
    async def test_every_file_is_the_users_own_whatever_the_umask(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        data.mkdir(mode=0o777)
        before = os.umask(0)
        try:
            async with running(data) as p:
                await p.kfn("deploy", str(function(tmp_path / "hello", "def handle(request):\n    print('secret')\n    return 'ok'\n")))
                await p.request("hello.default.localhost")
                assert stat.S_IMODE(data.stat().st_mode) == 0o700
                skipped = (data / "images", data / "layers")  # code, beneath a closed folder
                for path in data.rglob("*"):
                    if not path.is_symlink() and path not in skipped and not any(s in path.parents for s in skipped):
                        assert path.stat().st_mode & 0o037 == 0, f"{path}: {path.stat().st_mode:o}"
        finally:
            os.umask(before)


class TestBadSurroundings:
    async def start(self, data: Path, **options: Any) -> tuple[int, str]:
        result = await run(*KFN, "up", "--port", "0", "--data-dir", str(data), timeout=20, **options)
        return result.code, result.err

    async def test_a_damaged_state_file_is_named(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        data.mkdir()
        (data / "state.db").write_bytes(b"this is no database" * 1000)
        code, err = await self.start(data)
        assert code == 1 and "is damaged" in err and str(data / "state.db") in err and "Traceback" not in err

    async def test_a_truncated_state_file_is_named_or_survived(self, tmp_path: Path) -> None:
        async with running(tmp_path / "data") as p:
            await p.kfn("deploy", str(function(tmp_path / "hello", "def handle(request):\n    return 'ok'\n")))
        state = tmp_path / "data/state.db"
        size = state.stat().st_size
        os.truncate(state, size - size % 4096 - 4096)
        code, err = await self.start(tmp_path / "data")
        assert code == 1 and "is damaged" in err and "Traceback" not in err

    async def test_an_object_that_is_no_json_is_a_damaged_state_file(self, tmp_path: Path) -> None:
        async with running(tmp_path / "data"):
            pass
        with sqlite3.connect(tmp_path / "data/state.db") as db:
            db.execute("UPDATE objects SET body = '{'")
        db.close()
        code, err = await self.start(tmp_path / "data")
        assert code == 1 and "is damaged" in err and "Traceback" not in err

    async def test_it_starts_in_the_environment_of_cron(self, tmp_path: Path) -> None:
        env = {"PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(tmp_path / "state")}
        process = await asyncio.create_subprocess_exec(
            *KFN, "up", "--port", "0", "--data-dir", str(tmp_path / "data"), env=env, cwd="/", stdin=subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, preexec_fn=None,
        )  # fmt: skip
        assert process.stdout is not None
        with anyio.fail_after(20):
            assert (await process.stdout.readline()).startswith(b"ready")
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(20):
            await process.communicate()
        assert process.returncode == 0

    async def test_nobody_has_to_read_its_output(self, tmp_path: Path) -> None:
        read, write = os.pipe()
        os.close(read)
        data = tmp_path / "data"
        process = await asyncio.create_subprocess_exec(*KFN, "up", "--port", "0", "--data-dir", str(data), stdout=write, stderr=write)
        os.close(write)
        with anyio.fail_after(20):
            while not (data / "platform.json").exists():
                assert process.returncode is None
                await anyio.sleep(0.05)
        await anyio.sleep(0.3)
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(20):
            assert await process.wait() == 0


class TestStop:
    async def test_requests_under_way_are_finished_and_nothing_is_left(self, tmp_path: Path) -> None:
        slow = "import time\ndef handle(request):\n    time.sleep(1.5)\n    return 'done'\n"
        async with running(tmp_path / "data") as p:
            await p.kfn("deploy", str(function(tmp_path / "slow", slow)))
            async with asyncio.TaskGroup() as tasks:
                answers = [tasks.create_task(p.request("slow.default.localhost")) for _ in range(20)]
                await asyncio.sleep(0.7)
                left = descendants(p.facts["pid"])
                assert left
                assert await p.stop() == 0
            assert {a.result().status_code for a in answers} == {200}
            assert not [pid for pid in left if is_alive(pid)]

    async def test_a_second_signal_ends_it_at_once_and_nothing_is_left(self, tmp_path: Path) -> None:
        hang = "import time\ndef handle(request):\n    time.sleep(60)\n"
        async with running(tmp_path / "data") as p:
            await p.kfn("deploy", str(function(tmp_path / "hang", hang)))
            waiting = asyncio.create_task(p.request("hang.default.localhost"))
            await asyncio.sleep(1)
            left = descendants(p.facts["pid"])
            assert p.process is not None
            p.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.5)
            assert p.process.returncode is None
            p.process.send_signal(signal.SIGTERM)
            with anyio.fail_after(8):  # the drain would be 10 s
                assert await p.process.wait() == 130
            await asyncio.gather(waiting, return_exceptions=True)
            with anyio.fail_after(20):
                while [pid for pid in left if is_alive(pid)]:
                    await anyio.sleep(0.05)
