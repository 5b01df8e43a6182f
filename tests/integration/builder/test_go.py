"""Go functions: the real toolchain, modules from a vendor folder or a proxy that is a folder. No network."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from builder import elf
from builder.errors import (
    CompileFailed,
    DependencyError,
    HandlerNotFound,
    IndexUnreachable,
    LockMissing,
    ModulesStale,
    ProjectInvalid,
    ToolMissing,
)
from builder.golang import buildinfo
from builder.options import BuildResult
from tests.integration.builder.conftest import Workshop
from tests.peers.golang import offline

MAIN = 'package main\n\nfunc main() { println("hello") }\n'
MOD = "module function\n\ngo 1.24\n"
IMPORTS = 'package main\n\nimport _ "a.b/c"\n\nfunc main() {}\n'
CMD = {"go.mod": MOD, "cmd/x/main.go": MAIN}
LIBRARY = {"go.mod": MOD, "lib/a.go": "package lib\n", "func.yaml": "kfn: {handler: lib}\n"}
UNUSED = "package main\n\nfunc main() {\n\tx := 1\n}\n"
NEEDS = f"{MOD}require a.b/c v1.0.0\n"
HANDLE = """package function

import (
	"fmt"
	"net/http"
)

func Handle(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }
"""
INSTANCED = """package function

import (
	"context"
	"fmt"
	"net/http"
)

type F struct{ greeting string }

func New() *F { return &F{} }

func (f *F) Start(ctx context.Context, cfg map[string]string) error {
	f.greeting = cfg["GREETING"]
	return nil
}

func (f *F) Stop(ctx context.Context) error {
	println("stopped in order")
	return nil
}

func (f *F) Ready(ctx context.Context) (bool, error) { return f.greeting != "", nil }

func (f *F) Handle(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, f.greeting) }
"""
pytestmark = pytest.mark.skipif(not shutil.which("go"), reason="go is not on this machine")


@pytest.fixture(autouse=True)
def _go(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    offline(monkeypatch, tmp_path_factory)


def program(workshop: Workshop, result: BuildResult, into: Path) -> Path:
    from tests.integration.builder.test_build import unpack

    unpack(workshop, workshop.image(result), into)
    return into / "func/function"


def vendored(workshop: Workshop, name: str = "app") -> Path:
    return workshop.source(name, **{
        "go.mod": f"{MOD}\nrequire example.com/dep v1.2.3\n",
        "main.go": 'package main\n\nimport "example.com/dep"\n\nfunc main() { println(dep.Text) }\n',
        "vendor/modules.txt": "# example.com/dep v1.2.3\n## explicit; go 1.24\nexample.com/dep\n",
        "vendor/example.com/dep/dep.go": 'package dep\n\nvar Text = "from the vendor folder"\n',
    })  # fmt: skip


def proxied(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A function with one module from a proxy that is a folder, and its sums as go writes them."""
    proxy = workshop.root / "proxy/example.com/dep/@v"
    proxy.mkdir(parents=True)
    mod = "module example.com/dep\n\ngo 1.24\n"
    (proxy / "list").write_text("v1.2.3\n")
    (proxy / "v1.2.3.info").write_text('{"Version": "v1.2.3"}')
    (proxy / "v1.2.3.mod").write_text(mod)
    with zipfile.ZipFile(proxy / "v1.2.3.zip", "w") as file:
        file.writestr("example.com/dep@v1.2.3/go.mod", mod)
        file.writestr("example.com/dep@v1.2.3/dep.go", 'package dep\n\nvar Text = "from the proxy"\n')
    monkeypatch.setenv("GOPROXY", f"file://{workshop.root}/proxy")
    monkeypatch.setenv("GOSUMDB", "off")
    monkeypatch.setenv("GOMODCACHE", str(workshop.root / "modules"))
    folder = workshop.source("app", **{
        "go.mod": f"{MOD}\nrequire example.com/dep v1.2.3\n",
        "main.go": 'package main\n\nimport "example.com/dep"\n\nfunc main() { println(dep.Text) }\n',
    })  # fmt: skip
    subprocess.run(["go", "mod", "tidy"], cwd=folder, check=True, capture_output=True, timeout=60)
    return folder


class TestAGoFunction:
    async def test_becomes_one_static_program(self, workshop: Workshop, tmp_path: Path) -> None:
        result = await workshop.build(workshop.source("app", **{"go.mod": MOD, "main.go": MAIN}))
        image = workshop.image(result)
        assert image.config["config"]["Entrypoint"] == ["/func/function"]
        assert image.labels["dev.kfn.runtime"] == "binary"
        made = program(workshop, result, tmp_path / "root")
        assert elf.read(made).needed == ()
        assert subprocess.run([made], capture_output=True, timeout=10, check=True).stderr == b"hello\n"

    async def test_may_have_its_main_package_elsewhere(self, workshop: Workshop, tmp_path: Path) -> None:
        folder = workshop.source("app", **{"go.mod": MOD, "cmd/x/main.go": MAIN, "func.yaml": "kfn: {handler: ./cmd/x}\n"})
        result = await workshop.build(folder)
        assert result.handler == "./cmd/x"
        assert program(workshop, result, tmp_path / "root").is_file()

    async def test_has_the_same_digest_from_another_folder_and_a_cold_cache(
        self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        first = await workshop.build(vendored(workshop))
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        other = vendored(Workshop(tmp_path / "elsewhere/deep"))
        subprocess.run(["git", "init", "-q"], cwd=other, check=True, timeout=10)
        second = await workshop.build(other, cache=tmp_path / "cache2")
        assert first.digest == second.digest

    async def test_is_not_compiled_twice(self, workshop: Workshop) -> None:
        folder = workshop.source("app", **{"go.mod": MOD, "main.go": MAIN})
        first, second = await workshop.build(folder), await workshop.build(folder)
        assert (first.digest, second.layers[0].cached) == (second.digest, True)
        (folder / "main.go").write_text(MAIN.replace("hello", "other"))
        assert (await workshop.build(folder)).digest != first.digest

    async def test_takes_modules_from_its_vendor_folder_without_any_network(self, workshop: Workshop, tmp_path: Path) -> None:
        made = program(workshop, await workshop.build(vendored(workshop)), tmp_path / "root")
        assert subprocess.run([made], capture_output=True, timeout=10, check=True).stderr == b"from the vendor folder\n"

    async def test_takes_modules_from_the_proxy_and_names_them_with_their_sums(
        self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        folder = proxied(workshop, monkeypatch)
        made = program(workshop, await workshop.build(folder), tmp_path / "root")
        components = {one.name: one for one in buildinfo.components(made)}
        assert components["example.com/dep"].purl == "pkg:golang/example.com/dep@v1.2.3"
        assert components["example.com/dep"].sums[0][1] in (folder / "go.sum").read_text()
        assert components["std"].version == json.loads(subprocess.check_output(["go", "env", "-json", "GOVERSION"]))["GOVERSION"][2:]

    async def test_is_compiled_for_each_platform(self, workshop: Workshop, tmp_path: Path) -> None:
        from builder.base.model import Base
        from builder.cache import Cache
        from builder.language import Job
        from builder.languages.golang import GoFunction
        from builder.options import BuildOptions
        from builder.platform import Platform
        from builder.project import load_project
        from builder.sources.source import read_source

        folder = workshop.source("app", **{"go.mod": MOD, "main.go": MAIN})
        options = BuildOptions(None, cache=tmp_path / "cache2")
        job = Job(load_project(folder), read_source(folder, 10**9, 1000, 10**9), options, Cache(options.cache), lambda _: None)
        for name in ("amd64", "arm64"):
            parts = await GoFunction(job).parts(Base("static", Platform(name)))
            data = job.cache.blob(parts.layers[0].layer.digest).read_bytes()
            (tmp_path / name).write_bytes(data[data.index(elf.MAGIC) :])
            assert elf.read(tmp_path / name).architecture == name


class TestKnativesFunctionForm:
    async def run(self, program: Path, **env: str) -> tuple[dict[str, Any], str]:
        """Start it, ask it, end it: what it answered by path, and what it wrote."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        process = subprocess.Popen([program], env={"PORT": str(port), "KFN_HOST": "127.0.0.1", **env}, stderr=subprocess.PIPE, text=True)
        answers: dict[str, Any] = {}
        try:
            for path in ("/", "/health/liveness", "/health/readiness"):
                for _ in range(400):
                    try:
                        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                            answers[path] = answer.read().decode().strip()
                            break
                    except urllib.error.HTTPError as error:
                        answers[path] = error.code
                        break
                    except OSError:
                        time.sleep(0.025)  # noqa: TID251 - another process is starting
        finally:
            process.terminate()
            _, said = process.communicate(timeout=20)
        answers["exit"] = process.returncode
        return answers, said

    @pytest.mark.parametrize(
        "text",
        [HANDLE, HANDLE.replace("(w http", "(ctx context.Context, w http").replace('"fmt"', '"context"\n\t"fmt"')],
        ids=["Handle(w, r)", "Handle(ctx, w, r)"],
    )
    async def test_gets_a_program_around_it(self, workshop: Workshop, tmp_path: Path, text: str) -> None:
        result = await workshop.build(workshop.source("app", **{"go.mod": MOD, "handle.go": text, "handle_test.go": "package function\n"}))
        answers, _ = await self.run(program(workshop, result, tmp_path / "root"))
        assert answers == {"/": "hello", "/health/liveness": "OK", "/health/readiness": "OK", "exit": 0}

    async def test_with_an_instance_is_started_asked_and_stopped(self, workshop: Workshop, tmp_path: Path) -> None:
        result = await workshop.build(workshop.source("app", **{"go.mod": MOD, "f.go": INSTANCED}))
        made = program(workshop, result, tmp_path / "root")
        answers, said = await self.run(made, GREETING="good morning")
        assert answers == {"/": "good morning", "/health/liveness": "OK", "/health/readiness": "OK", "exit": 0}
        assert "stopped in order" in said
        assert (await self.run(made))[0]["/health/readiness"] == 503


class TestBadInput:
    @pytest.mark.parametrize(
        ("files", "error", "said"),
        [
            ({"func.yaml": "runtime: go\n", "main.go": MAIN}, ProjectInvalid, "no go.mod; make it with `go mod init NAME`"),
            ({"go.mod": "go 1.24\n", "main.go": MAIN}, ProjectInvalid, "no line `module PATH`"),
            ({"go.mod": NEEDS, "main.go": MAIN}, LockMissing, "no go.sum; make it with `go mod tidy`"),
            (CMD, HandlerNotFound, r"no Go files in the folder itself; .*kfn\.handler.*\./cmd/x"),
            ({**CMD, "func.yaml": "kfn: {handler: ./cmd/y}\n"}, HandlerNotFound, "no Go files in cmd/y"),
            (LIBRARY, HandlerNotFound, "lib is package lib, not main"),
            ({"go.mod": MOD, "a.go": "package function\n"}, HandlerNotFound, "no handler in the Go files"),
            ({"go.mod": MOD, "main.go": UNUSED}, CompileFailed, r"\./main\.go:4:2: declared and not used: x"),
            ({"go.mod": MOD, "main.go": "package main\n\nfunc main( {}\n"}, CompileFailed, r"main\.go:3:12: syntax error"),
            ({"go.mod": MOD, "a.go": HANDLE.replace("r *http.Request", "r http.Request")}, CompileFailed, "cannot use function.Handle"),
            ({"go.mod": NEEDS, "go.sum": "", "main.go": IMPORTS}, ModulesStale, "go mod tidy"),
        ],
        ids=["no go.mod", "no module", "no go.sum", "no main", "wrong handler", "handler is a library", "no Handle", "compile error",
             "syntax error", "wrong type", "no sums"],
    )  # fmt: skip
    async def test_is_named_with_its_place(self, workshop: Workshop, files: dict[str, str], error: type[Exception], said: str) -> None:
        with pytest.raises(error, match=said) as told:
            await workshop.build(workshop.source("app", **files))
        assert str(workshop.root) not in str(told.value)
        assert not (workshop.root / "images/index.json").exists()

    async def test_a_module_that_is_not_the_locked_one_is_told_loudly(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = proxied(workshop, monkeypatch)
        lines = (folder / "go.sum").read_text().splitlines()
        (folder / "go.sum").write_text("\n".join(line[:-5] + "AAAA=" for line in lines) + "\n")
        with pytest.raises(DependencyError, match="can mean tampering"):
            await workshop.build(folder)

    async def test_a_proxy_that_does_not_answer_is_worth_another_try(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = proxied(workshop, monkeypatch)
        monkeypatch.setenv("GOMODCACHE", str(workshop.root / "empty"))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        monkeypatch.setenv("GOPROXY", f"http://127.0.0.1:{port}")
        with pytest.raises(IndexUnreachable, match="refused"):
            await workshop.build(folder)
        with pytest.raises(IndexUnreachable, match="disabled"):
            await workshop.build(folder, offline=True)

    async def test_a_missing_toolchain_is_named_with_the_other_way(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(workshop.root))
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(ToolMissing, match="kfn build --binary FILE"):
            await workshop.build(workshop.source("app", **{"go.mod": MOD, "main.go": MAIN}))
