"""`kfn build --remote` and `kfn builds` against a whole platform, with Debian's registry beside it."""

import asyncio
import json
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from tests.e2e.harness import KFN, Platform, eventually, running
from tests.integration.cluster_builds import stage
from tests.peers.registry import registry

pytestmark = pytest.mark.e2e
HANDLER = "def handle(request):\n    return 'hello'\n"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Open to the user that builds run as. The platform's builds use an interpreter that this user may start."""
    with tempfile.TemporaryDirectory(prefix="kfn-remote-") as made:
        Path(made).chmod(0o755)
        monkeypatch.setenv("KFN_BUILD_PYTHON", stage.python())
        monkeypatch.setenv("PYTHONPATH", stage.environment()["PYTHONPATH"])
        monkeypatch.setenv("XDG_CACHE_HOME", f"{made}/cache")
        yield Path(made)


@asynccontextmanager
async def everything(folder: Path) -> AsyncIterator[tuple[Platform, str]]:
    async with registry(folder) as reg, running(folder / "data") as platform:
        yield platform, reg.host


def source(folder: Path, **files: str) -> str:
    made = folder / "hello"
    made.mkdir(exist_ok=True)
    for name, text in {"func_py": HANDLER, **files}.items():
        (made / name.replace("_", ".")).write_text(text)
    return str(made)


class TestARemoteBuild:
    async def test_shows_its_steps_and_ends_with_the_digest(self, folder: Path) -> None:
        async with everything(folder) as (platform, host):
            ran = await platform.kfn("build", "--remote", "-t", f"{host}/team/hello:1", "--base", "none", source(folder))
            assert re.fullmatch(rf"{host}/team/hello@sha256:[0-9a-f]{{64}}", ran.last_line)
            assert all(name in ran.err for name in ("upload", "project", "source", "push")), ran.err
            listed = await platform.kfn("builds", "list")
            assert f"{host}/team/hello" in listed.out
            assert "True" in listed.out
            (name,) = re.findall(r"hello-[a-z0-9]{5}", listed.out)
            described = await platform.kfn("builds", "describe", name)
            assert ran.last_line in described.out
            assert "Phases:" in described.out
            assert "project" in (await platform.kfn("builds", "logs", name)).out
            assert (await platform.kfn("builds", "logs", "-f", name)).last_line == ran.last_line
            await platform.kfn("builds", "delete", name)
            assert "No builds" in (await platform.kfn("builds", "list")).err

    async def test_of_what_is_no_small_text_goes_by_the_registry(self, folder: Path) -> None:
        path = source(folder)
        (Path(path) / "data.bin").write_bytes(b"\xff\xfe")
        async with everything(folder) as (platform, host):
            args = ("build", "--remote", "-t", f"{host}/team/hello:1", "--base", "none", path)
            first = await platform.kfn(*args)
            again = await platform.kfn(*args)
            assert first.last_line == again.last_line
            assert re.search(r"upload.*cached", again.err), again.err

    async def test_that_fails_says_why_with_the_exit_code_of_a_local_one(self, folder: Path) -> None:
        async with everything(folder) as (platform, host):
            path = source(folder, func_py="def handle(:\n")
            ran = await platform.kfn("build", "--remote", "-t", f"{host}/team/hello:1", "--base", "none", path, check=False)
            assert (ran.code, ran.out) == (3, "")
            assert "func.py" in ran.err

    async def test_is_cancelled_by_ctrl_c(self, folder: Path) -> None:
        async with everything(folder) as (platform, _), stage.silence() as silent:
            env = {**os.environ, "KUBECONFIG": str(platform.data / "kubeconfig")}
            args = ("build", "--remote", "-t", f"{silent}/team/hello:1", "--base", "none", source(folder))
            process = await asyncio.create_subprocess_exec(*KFN, *args, env=env, stderr=asyncio.subprocess.PIPE)

            async def built() -> bool:
                return "Building" in (await platform.kfn("builds", "list")).out

            await eventually(built, 30, "the build does not run")
            process.send_signal(signal.SIGINT)
            with anyio.fail_after(30):
                _, told = await process.communicate()
            assert process.returncode == 130
            assert b"a build that had been created was cancelled" in told

            async def cancelled() -> bool:
                return "Cancelled" in (await platform.kfn("builds", "list")).out

            await eventually(cancelled, 30, "the build was not cancelled")

    async def test_goes_on_by_itself_if_it_is_detached(self, folder: Path) -> None:
        async with everything(folder) as (platform, host):
            args = ("build", "--remote", "--detach", "-t", f"{host}/team/hello:1", "--base", "none", source(folder))
            name = (await platform.kfn(*args)).last_line
            assert (await platform.kfn("builds", "logs", "-f", name)).last_line.startswith(f"{host}/team/hello@sha256:")

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            (("--store", "x"), "--store"),
            (("-o", "oci:x"), "-o"),
            ((), "where to"),
            (("-t", "r.example/a:1", "-t", "r.example/b:1"), "one repository"),
        ],
        ids=["a store", "an archive", "no name", "two repositories"],
    )
    async def test_refuses_what_only_this_machine_could_do(self, folder: Path, args: tuple[str, ...], words: str) -> None:
        async with running(folder / "data") as platform:
            ran = await platform.kfn("build", "--remote", *args, source(folder), check=False)
            assert ran.code == 2
            assert words in ran.err


@pytest.mark.crash
class TestAPlatformThatIsKilled:
    async def test_tells_its_builds_as_lost_and_leaves_no_process(self, folder: Path) -> None:
        async with everything(folder) as (platform, _), stage.silence() as silent:
            name = (
                await platform.kfn("build", "--remote", "--detach", "-t", f"{silent}/team/hello:1", "--base", "none", source(folder))
            ).last_line

            async def built() -> bool:
                return "Building" in (await platform.kfn("builds", "list")).out

            await eventually(built, 30, "the build does not run")
            await platform.kill()
            await platform.start()

            async def told() -> bool:
                ran = await platform.kfn("builds", "describe", name, "-o", "json")
                return "NodeLost" in json.dumps(json.loads(ran.out)["status"])

            await eventually(told, 30, "the build is not told as lost")

            async def ended() -> bool:
                return not stage.runners(platform.data)

            await eventually(ended, 30, "its process lives")
