"""Knative Serving's conformance suite and its test images, compiled once per machine from the published module. No source of it is here.

The module is compiled in its own folder of the module cache, so its go.mod and go.sum pin every dependency. Where modules come from is
the environment's business.
"""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import tools
from tests.cluster.layout import cache_folder
from tests.cluster.shell import Failed, say, step

MODULE = "knative.dev/serving"
# v0.51.0 is out, but some modules that it needs are not served yet; its conformance tests are the same, but for one import.
VERSION = "v0.50.0"
COMMIT = "7ed4aa2ab601e3a33c6552285f6e0d910747351d"
PACKAGES = {"api": "./test/conformance/api/v1", "runtime": "./test/conformance/runtime"}
IMAGES = (
    "autoscale", "failing", "hellovolume", "helloworld", "pizzaplanetv1", "pizzaplanetv2", "readiness", "runtime",
    "multicontainer/servingcontainer", "multicontainer/sidecarcontainer", "singlethreaded", "timeout", "volumes",
)  # fmt: skip
COMPILE_WITHIN = 40 * 60.0  # seconds; with an empty cache 7 minutes on two busy cores


@dataclass(frozen=True)
class Suite:
    folder: Path

    def test(self, package: str) -> Path:
        return self.folder / "tests" / package

    def images(self) -> dict[str, Path]:
        return {name: self.folder / "images" / name for name in (path.rpartition("/")[2] for path in IMAGES)}


def ensure() -> Suite:
    """The compiled suite, from the cache or made now."""
    suite = Suite(cache_folder() / "tools" / f"knative-conformance-{VERSION.removeprefix('v')}")
    wanted = [*(suite.test(package) for package in PACKAGES), *suite.images().values()]
    if all(program.exists() for program in wanted):
        return suite
    suite.folder.parent.mkdir(parents=True, exist_ok=True)
    source = _module()
    say(f"         compiling the conformance suite of {MODULE} {VERSION} ...")
    with step(f"compiled {suite.folder.name}"), tempfile.TemporaryDirectory(prefix=".new-", dir=suite.folder.parent) as aside:
        out = Path(aside) / "built"
        for package, path in PACKAGES.items():
            _go(source, "test", "-c", "-tags", "e2e", "-trimpath", "-ldflags", "-s -w", "-o", str(out / "tests" / package), path)
        (out / "images").mkdir()
        _go(
            source,
            "build",
            "-trimpath",
            "-ldflags",
            "-s -w",
            "-o",
            f"{out / 'images'}/",
            *(f"./test/test_images/{name}" for name in IMAGES),
        )
        if suite.folder.exists():
            suite.folder.rename(Path(aside) / "old")
        out.rename(suite.folder)
    return suite


def _module() -> Path:
    """The module's folder in the module cache."""
    with tempfile.TemporaryDirectory() as elsewhere:  # in a folder with a go.mod, go would take that one's versions
        said = json.loads(_go(Path(elsewhere), "mod", "download", "-json", f"{MODULE}@{VERSION}"))
    commit = said.get("Origin", {}).get("Hash", COMMIT)
    if commit != COMMIT:
        raise Failed(f"{MODULE} {VERSION} is of commit {commit} now, and {COMMIT} was pinned")
    return Path(said["Dir"])


def _go(folder: Path, *command: str) -> str:
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    done = subprocess.run([tools.go(), *command], cwd=folder, env=env, capture_output=True, text=True, timeout=COMPILE_WITHIN, check=False)
    if done.returncode:
        raise Failed(f"go {' '.join(command[:2])}: {done.stderr.strip()[-2000:]}")
    return done.stdout
