"""What a build costs, beside what the same costs without kfn: pip into a fresh environment, tar, gzip. And what bytecode is worth.

`make bench-builder`, or `python -m tests.benchmarks builder`. Every build is the whole command, pushed to a real registry on loopback.
Needs docker-registry and a package index; for the base a Debian mirror; for the starts containerd, runc and root.
"""

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builder.python.index import environment
from builder.python.uv import binary
from tests.benchmarks import _starts
from tests.benchmarks._measure import Table, compiled, interleaved
from tests.e2e.harness import KFN, run
from tests.peers.registry import registry

HELLO = "def handle(request):\n    return 'ok'\n"
WEB = "from fastapi import FastAPI\n\napp = FastAPI()\n\n\n@app.get('/')\ndef hello() -> dict[str, str]:\n    return {'say': 'ok'}\n"
DATA = "import pandas\n\n\ndef handle(request):\n    return pandas.DataFrame({'a': [1]}).to_json()\n"
MISSING = 2  # as tests.benchmarks understands it
SMALL = ("3.4", "3.6", "3.7", "3.8", "3.9", "3.10")  # of idna, which numpy and pandas do not need


@dataclass(frozen=True)
class Bench:
    """Where everything of one run lies."""

    root: Path
    host: str  # of the registry
    base: tuple[str, ...]  # flags

    def project(self, name: str, source: str, requirements: str = "") -> Path:
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        (folder / "func.py").write_text(source)
        if requirements:
            (folder / "requirements.txt").write_text(requirements)
        return folder

    async def build(self, folder: Path, *more: str, cache: str = "cache") -> str:
        """The whole command; returns the image's reference."""
        env = {**os.environ, "XDG_CACHE_HOME": str(self.root / cache)}
        done = await run(*KFN, "build", str(folder), "-t", f"{self.host}/{folder.name}", "--push", "-q", *self.base, *more, env=env)
        assert done.code == 0, done.err
        return done.out.strip()

    def locked(self, *wanted: str) -> str:
        """A requirements file with hashes, so that no build has to choose versions. Those that this Python can have: pip beside it must
        install the same."""
        python = ".".join(map(str, sys.version_info[:2]))
        argv = [binary(), "pip", "compile", "--quiet", "--no-header", "--generate-hashes", "--python-version", python, "-"]
        done = subprocess.run(argv, input="\n".join(wanted), capture_output=True, text=True, env=environment({}), check=True)
        return done.stdout

    async def by_hand(self, folder: Path) -> None:
        """A fresh environment, pip, tar and gzip, as a build script without kfn does it. pip has its wheels in its cache."""
        with tempfile.TemporaryDirectory(dir=self.root) as name:
            done = await run(sys.executable, "-m", "venv", f"{name}/venv")
            assert done.code == 0, done.err
            if (folder / "requirements.txt").is_file():
                pip = [f"{name}/venv/bin/pip", "install", "--quiet", "--only-binary", ":all:", "-r", str(folder / "requirements.txt")]
                done = await run(*pip)
                assert done.code == 0, done.err
            done = await run("tar", "-czf", f"{name}/image.tar.gz", "-C", name, "venv", "-C", str(folder), ".")
            assert done.code == 0, done.err


async def main() -> int:
    if not shutil.which("docker-registry"):
        print("docker-registry is not installed, and builds are pushed to it", file=sys.stderr)
        return MISSING
    table = Table()
    with tempfile.TemporaryDirectory(prefix="kfn-bench-") as name, compiled():
        root = Path(name)
        async with registry(root) as peer:
            bench = Bench(root, peer.host, await _base(root))
            print(f"base: {bench.base[-1] if bench.base else 'as by default'}")
            await _warm(bench, table)
            await _dependencies(bench, table)
            await _starts.measured(bench.root, bench.build, bench.project("web", WEB, (root / "web/requirements.txt").read_text()), table)
    return 0


async def _base(root: Path) -> tuple[str, ...]:
    """The composed one if it can be had here."""
    env = {**os.environ, "XDG_CACHE_HOME": str(root / "cache")}
    done = await run(*KFN, "base", "build", "python3.13", env=env, timeout=600)
    if done.code == 0:
        return ("--base", "python3.13")
    print(f"no composed base here, so images stand on none: {done.err.strip().splitlines()[-1]}")
    return ("--base", "none")


async def _warm(bench: Bench, table: Table) -> None:
    """Nothing changed, and only the source."""
    numbers = itertools.count()
    web = bench.project("web", WEB, bench.locked("fastapi", "uvicorn"))
    edited = bench.project("edited", WEB, (web / "requirements.txt").read_text())

    async def source() -> None:
        (edited / "func.py").write_text(f"{WEB}# {next(numbers)}\n")
        await bench.build(edited)

    took = await interleaved({"same": lambda: bench.build(web), "source": source}, 9)
    hand = (await interleaved({"hand": lambda: bench.by_hand(web)}, 3))["hand"]
    beside = f"venv, pip, tar, gzip: {hand.p50:.1f} s"
    table.add("build and push, nothing changed", str(took["same"]), "300 ms", beside, took["same"].p50 / hand.p50)
    table.add("build and push, source changed", str(took["source"]), "500 ms", beside, took["source"].p50 / hand.p50)


async def _dependencies(bench: Bench, table: Table) -> None:
    """All of a FastAPI's dependencies anew, wheels at hand; one small package beside numpy and pandas."""
    hello = bench.project("hello", HELLO)
    fresh = await _fresh(bench, hello)
    web = bench.root / "web"

    async def everything() -> None:
        await bench.build(web, cache=fresh())

    took = await interleaved({"web": everything}, 5)
    hand = (await interleaved({"hand": lambda: bench.by_hand(web)}, 3))["hand"]
    beside = f"venv, pip, tar, gzip: {hand.p50:.1f} s"
    table.add("FastAPI's dependencies, wheels at hand", str(took["web"]), "2 s", beside, took["web"].p50 / hand.p50)

    locks = iter([bench.locked("numpy", "pandas", f"idna=={version}") for version in SMALL])
    data = bench.project("data", DATA, next(locks))
    await bench.build(data)

    async def small() -> None:
        bench.project("data", DATA, next(locks))
        await bench.build(data)

    took = await interleaved({"data": small}, len(SMALL) - 2)
    hand = (await interleaved({"hand": lambda: bench.by_hand(data)}, 2))["hand"]
    beside = f"venv, pip, tar, gzip: {hand.p50:.1f} s"
    table.add("numpy and pandas, a small package changed", str(took["data"]), "1.5 s", beside, took["data"].p50 / hand.p50)


async def _fresh(bench: Bench, hello: Path) -> Callable[[], str]:
    """Caches that have the base and kfn's runtime and nothing of the web project; one for each build."""
    numbers = itertools.count()
    base = bench.root / "bare"
    env = {**os.environ, "XDG_CACHE_HOME": str(base)}
    if bench.base[-1:] != ("none",):
        done = await run(*KFN, "base", "build", bench.base[-1], env=env, timeout=600)
        assert done.code == 0, done.err
    await bench.build(hello, cache="bare")

    def fresh() -> str:
        name = f"fresh-{next(numbers)}"
        shutil.copytree(base, bench.root / name, symlinks=True)
        return name

    return fresh


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
