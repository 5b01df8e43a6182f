"""Functions that are not Python's run as processes of this machine: what `kfn build` made of Node, Go and a ready program."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.app import build
from builder.options import BuildOptions
from builder.store import ImageStore
from kfn.api.core import Pod
from tests.integration.node.platform import Platform, get, platform, ready
from tests.peers.golang import offline
from tests.peers.npm_registry import Registry, npm_registry

NODE = """const local = require('own'), small = require('small');
const server = require('http').createServer((q, s) => s.end(JSON.stringify({local, small, cwd: process.cwd(),
  env: process.env.GREETING, source: process.env.KFN_SOURCE, service: process.env.K_SERVICE, mode: process.env.NODE_ENV})));
process.on('SIGTERM', () => server.close(() => { require('fs').writeFileSync(process.env.SAY, 'stopped'); process.exit(0); }));
server.listen(process.env.PORT, process.env.KFN_HOST, () => console.log('listening'));
"""
GO = """package function

import (
	"fmt"
	"net/http"
	"os"
)

func Handle(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello ", os.Getenv("GREETING"), " from ", r.URL.Path) }
"""
EXAMPLES = Path(__file__).parents[3] / "examples"
needs_node = pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="node or npm is not on this machine")
needs_go = pytest.mark.skipif(not shutil.which("go"), reason="go is not on this machine")


async def made(p: Platform, folder: Path, files: dict[str, str], **options: str) -> str:
    """Build the function; answers its image."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    result = await build(folder, BuildOptions(p.settings.images, cache=folder.parent / "cache", **options), lambda _: None)
    return result.reference


def node_project(registry: Registry) -> dict[str, str]:
    """A package of the source's own, a small and a large one from the registry: three layers and the source's."""
    wanted = {"own": "file:lib/own", "small": "1.0.0", "big": "1.0.0"}
    packages = {
        "": {"name": "app", "version": "1.0.0", "dependencies": wanted},
        "lib/own": {"version": "1.0.0"},
        "node_modules/own": {"resolved": "lib/own", "link": True},
        "node_modules/small": registry.publish("small", files={"index.js": b"module.exports = require('big').length;\n"}),
        "node_modules/big": registry.publish("big", files={"index.js": b"module.exports = '" + b"x" * 2_000_000 + b"';\n"}),
    }
    return {
        "package.json": json.dumps({"name": "app", "version": "1.0.0", "scripts": {"start": "node server.js"}, "dependencies": wanted}),
        "package-lock.json": json.dumps({"name": "app", "version": "1.0.0", "lockfileVersion": 3, "packages": packages}),
        "server.js": NODE,
        "lib/own/package.json": '{"name": "own", "version": "1.0.0"}',
        "lib/own/index.js": "module.exports = 'own';\n",
    }


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    with npm_registry() as found:
        monkeypatch.setenv("npm_config_registry", found.url)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
        yield found


def failed(pod: Pod) -> str:
    return next((s.state.waiting.message for s in pod.status.container_statuses if s.state.waiting and s.state.waiting.message), "")


@needs_node
class TestANodeFunction:
    async def test_finds_its_packages_over_several_layers_and_keeps_the_contract(self, tmp_path: Path, registry: Registry) -> None:
        async with platform(tmp_path) as p:
            env = {"GREETING": "hello", "K_SERVICE": "app", "SAY": str(tmp_path / "said")}
            image = await made(p, tmp_path / "app", node_project(registry))
            assert len(ImageStore(p.settings.images).resolve(image).layers) == 3
            await p.deploy(image, env=[{"name": name, "value": value} for name, value in env.items()])
            pod = await p.pod_when(ready)
            [piece] = await p.slices()
            told = json.loads((await get(piece)).partition("\r\n\r\n")[2].splitlines()[-1])
            folder = told.pop("cwd")
            assert told == {"local": "own", "small": 2_000_000, "env": "hello", "source": folder, "service": "app", "mode": "production"}
            assert "listening" in await p.log(pod)
            await p.scale(0)
            await p.pods_when(lambda pods: not pods)
            assert (tmp_path / "said").read_text() == "stopped"

    async def test_without_node_on_this_machine_says_what_to_install(
        self, tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with platform(tmp_path) as p:
            image = await made(p, tmp_path / "app", node_project(registry))
            monkeypatch.setenv("PATH", str(tmp_path))
            await p.deploy(image)
            pod = await p.pod_when(lambda pod: bool(failed(pod)))
            assert "the image is started by node, which is not on this machine. Install Node.js" in failed(pod)


@needs_go
class TestAGoFunction:
    async def test_answers_and_stops(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        offline(monkeypatch, tmp_path_factory)
        async with platform(tmp_path) as p:
            image = await made(p, tmp_path / "app", {"go.mod": "module function\n\ngo 1.24\n", "handle.go": GO})
            await p.deploy(image, env=[{"name": "GREETING", "value": "world"}])
            await p.pod_when(ready)
            [piece] = await p.slices()
            assert (await get(piece, "/there")).endswith("hello world from /there")
            await p.scale(0)
            await p.pods_when(lambda pods: not pods)


class TestAReadyProgram:
    async def test_of_this_machine_gets_its_arguments_and_runs_where_its_files_are(self, tmp_path: Path) -> None:
        async with platform(tmp_path) as p:
            (tmp_path / "app").mkdir()
            shutil.copy(shutil.which("env") or "/usr/bin/env", tmp_path / "app/show")
            image = await made(p, tmp_path / "app", {"beside.txt": "here"})
            await p.deploy(image, args=["cat", "beside.txt"])
            pod = await p.pod_when(
                lambda pod: bool(pod.status.container_statuses and pod.status.container_statuses[0].last_state.terminated)
            )
            assert "here" in await p.log(pod, previous=True)

    async def test_for_another_machine_is_refused_with_both_names(self, tmp_path: Path) -> None:
        from builder.platform import Platform as Target
        from builder.platform import host
        from builder.store import Image
        from embedded.node.errors import BadImage
        from embedded.node.programs import command

        other = Target({"amd64": "arm64", "arm64": "amd64"}[host().architecture])
        image = Image("x", "sha256:0", {"architecture": other.architecture, "config": {"Entrypoint": ["/func/x"]}}, ())
        with pytest.raises(BadImage, match=f"the image is for {other.architecture}, this machine is {host().architecture}"):
            command(image, tmp_path)


class TestTheExamples:
    @pytest.mark.parametrize(
        ("name", "said"),
        [pytest.param("node", "hello kfn, from Node ", marks=needs_node), pytest.param("go", "hello kfn, from Go", marks=needs_go)],
    )
    async def test_are_built_run_and_answer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, name: str, said: str
    ) -> None:
        offline(monkeypatch, tmp_path_factory)
        async with platform(tmp_path) as p:
            shutil.copytree(EXAMPLES / name, tmp_path / "app")
            await p.deploy(await made(p, tmp_path / "app", {}))
            await p.pod_when(ready)
            [piece] = await p.slices()
            assert said in await get(piece, "/?name=kfn")
