"""A workshop: a folder to write sources into, a cache, a store, and what the last build told."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from builder.app import BuildOptions, BuildResult, Step, build
from builder.sources.giturl import GitUrl
from builder.store import Image, ImageStore

HANDLER = "def handle(request):\n    return 'hello'\n"


@dataclass
class Workshop:
    root: Path
    steps: list[Step] = field(default_factory=list)

    @property
    def store(self) -> ImageStore:
        return ImageStore(self.root / "images")

    def source(self, name: str = "hello", **files: str) -> Path:
        """A source folder. Keyword `func_py` becomes `func.py`, `a__b_py` becomes `a/b.py`; one with a dot is a path as it is."""
        folder = self.root / name
        for key, text in (files or {"func_py": HANDLER}).items():
            stem, _, suffix = key.replace("__", "/").rpartition("_")
            path = folder / (key if "." in key else f"{stem}.{suffix}")
            assert path.is_relative_to(folder), f"{key} would be written to {path}"
            self.write(path, text)
        return folder

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    async def build(self, source: "Path | GitUrl", **options: Any) -> BuildResult:
        self.steps.clear()
        given = {"store": self.root / "images", "cache": self.root / "cache", "base": "none", **options}
        return await build(source, BuildOptions(**given), self.steps.append)

    def image(self, result: BuildResult) -> Image:
        return self.store.resolve(result.reference)


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the runtime layer in it, which every build needs and which is the same for all."""
    shop = Workshop(tmp_path_factory.mktemp("warm"))
    anyio.run(shop.build, shop.source())
    return shop.root / "cache"


@pytest.fixture
def workshop(tmp_path: Path, warm_cache: Path) -> Workshop:
    shutil.copytree(warm_cache, tmp_path / "cache")
    return Workshop(tmp_path)
