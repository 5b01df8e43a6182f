"""From an image reference to something the node can start: unpacked layers, and the warm parent that fits them.

Unpacking happens once, when a Deployment that uses the image appears, so that a cold start only looks it up.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import anyio

from builder.errors import BuildError
from builder.store import Image, ImageStore
from embedded.node.errors import BadImage, ImageMissing
from embedded.node.layers import Layers
from embedded.node.settings import Settings
from embedded.node.zygote import Warmth

RUNTIME = "dev.kfn.runtime"
PYTHON = "dev.kfn.python"
HANDLER = "dev.kfn.handler"
PRELOAD = "dev.kfn.preload"
HINT = "The embedded platform runs images that `kfn build` or `kfn deploy` made; deploy the function's folder with `kfn deploy PATH`."


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image whose layers lie unpacked. `warmth` is None if it is not a Python function."""

    reference: str
    digest: str
    folders: tuple[Path, ...]
    source: str
    env: dict[str, str]
    handler: str
    warmth: Warmth | None


class Images:
    """Prepares images and remembers those that are prepared, by reference."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = ImageStore(settings.images)
        self.layers = Layers(settings.layers, self._store, max_size=settings.max_layer)
        self._prepared: dict[str, Prepared] = {}
        self._busy: dict[str, anyio.Lock] = {}

    def prepared(self, reference: str) -> Prepared | None:
        """What is ready now. A reference without a digest can come to mean another image, so it is never remembered."""
        return self._prepared.get(reference)

    async def prepare(self, reference: str) -> Prepared:
        """Find and unpack the image. Raises ImageMissing or BadImage, with what to do."""
        async with self._busy.setdefault(reference, anyio.Lock()):
            if found := self._prepared.get(reference):
                return found
            found = await anyio.to_thread.run_sync(self._prepare, reference)
            if "@" in reference:
                self._prepared[reference] = found
            return found

    def forget_but(self, references: Iterable[str]) -> None:
        """Forget images that nothing uses any more and remove their layers. Blocks."""
        wanted = set(references)
        self._prepared = {reference: image for reference, image in self._prepared.items() if reference in wanted}
        self._busy = {reference: lock for reference, lock in self._busy.items() if reference in wanted}
        needed = {folder for image in self._prepared.values() for folder in image.folders}
        for reference in wanted - self._prepared.keys():
            try:
                needed |= {self.layers.path(layer) for layer in self._store.resolve(reference).layers}
            except (BuildError, OSError):
                pass
        self.layers.keep(needed)

    def _prepare(self, reference: str) -> Prepared:
        try:
            image = self._store.resolve(reference)
        except BuildError as error:
            raise ImageMissing(f"{str(error).rstrip('.')}. {HINT}") from error
        except (OSError, ValueError, KeyError) as error:
            raise BadImage(f"{reference} cannot be read from {self._settings.images}: {error}") from error
        folders = tuple(self.layers.unpack(layer) for layer in image.layers)
        source = next((str(f / "func") for f in reversed(folders) if (f / "func").is_dir()), "")
        labels = image.labels
        warmth = self._warmth(image, folders) if labels.get(RUNTIME) == "python" else None
        return Prepared(reference, image.digest, folders, source, image.env, labels.get(HANDLER, ""), warmth)

    def _warmth(self, image: Image, folders: tuple[Path, ...]) -> Warmth:
        labels = image.labels
        paths = [f / "opt/kfn" / part for part in ("runtime", "deps") for f in folders]
        preload = tuple(name.strip() for name in labels.get(PRELOAD, "").split(",") if name.strip())
        path = tuple(str(p) for p in paths if p.is_dir())
        return Warmth(interpreter(labels.get(PYTHON, "")), path, self._settings.imports, preload, self._settings.entry)


def interpreter(version: str) -> str:
    """A Python of that minor version on this machine: the platform's own, one on PATH, or one that uv knows. Blocks."""
    match = re.match(r"(\d+)\.(\d+)", version)
    if not match or (int(match[1]), int(match[2])) == sys.version_info[:2]:
        return os.path.realpath(sys.executable) if sys.prefix == sys.base_prefix else str(getattr(sys, "_base_executable", sys.executable))
    wanted = match[0]
    if found := shutil.which(f"python{wanted}"):
        return found
    try:
        answer = subprocess.run(["uv", "python", "find", "--no-project", wanted], capture_output=True, text=True, timeout=20, check=True)
        return answer.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        raise BadImage(
            f"the image needs Python {wanted}, which is not on this machine. "
            f"Install it (`uv python install {wanted}`) or build the function for {sys.version_info[0]}.{sys.version_info[1]}"
        ) from None
