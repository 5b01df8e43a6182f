"""Knative Serving's conformance suite and its test images, compiled once per machine from the published module. No source of it is here.

The module is compiled in its own folder of the module cache, so its go.mod and go.sum pin every dependency. Where modules come from is
the environment's business.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import published
from tests.cluster.layout import cache_folder
from tests.cluster.shell import say, step

MODULE = "knative.dev/serving"
# v0.51.0 is out, but some modules that it needs are not served yet; its conformance tests are the same, but for one import.
VERSION = "v0.50.0"
COMMIT = "7ed4aa2ab601e3a33c6552285f6e0d910747351d"
PACKAGES = {"api": "./test/conformance/api/v1", "runtime": "./test/conformance/runtime"}
IMAGES = (
    "autoscale", "failing", "hellovolume", "helloworld", "pizzaplanetv1", "pizzaplanetv2", "readiness", "runtime",
    "multicontainer/servingcontainer", "multicontainer/sidecarcontainer", "singlethreaded", "timeout", "volumes",
)  # fmt: skip


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
    source = published.source(MODULE, VERSION, COMMIT)
    say(f"         compiling the conformance suite of {MODULE} {VERSION} ...")
    with step(f"compiled {suite.folder.name}"), tempfile.TemporaryDirectory(prefix=".new-", dir=suite.folder.parent) as aside:
        out = Path(aside) / "built"
        for package, path in PACKAGES.items():
            published.go(source, "test", "-c", "-tags", "e2e", "-trimpath", "-ldflags", "-s -w", "-o", str(out / "tests" / package), path)
        (out / "images").mkdir()
        published.go(
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
