"""From an image reference to something the node can start: unpacked layers, and the warm parent that fits them.

Unpacking happens once, when a Deployment that uses the image appears, so that a cold start only looks it up.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio

from builder.errors import BuildError
from builder.profile import app as profile
from builder.store import Image, ImageStore
from embedded.node import programs
from embedded.node.errors import BadImage, ImageMissing
from embedded.node.layers import Layers
from embedded.node.process import Warmth
from embedded.node.settings import Settings

RUNTIME = "dev.kfn.runtime"
RUNTIMES = ("python", *programs.RUNTIMES)
PYTHON = "dev.kfn.python"
HANDLER = "dev.kfn.handler"
PRELOAD = "dev.kfn.preload"
HINT = "The embedded platform runs images that `kfn build` or `kfn deploy` made; deploy the function's folder with `kfn deploy PATH`."


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image whose layers lie unpacked. `warmth` is None if it is not a Python function; `command` is what starts another one."""

    reference: str
    digest: str
    folders: tuple[Path, ...]
    source: str
    env: dict[str, str]
    handler: str
    warmth: Warmth | None
    command: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether it says itself how it is started."""
        return bool(self.warmth or self.command)


class Images:
    """Prepares images and remembers those that are prepared, by reference."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = ImageStore(settings.images)
        self.layers = Layers(settings.layers, self._store, max_size=settings.max_layer)
        self._prepared: dict[str, Prepared] = {}
        self._asked: set[str] = set()
        self._disk = threading.Lock()
        self._busy: dict[str, anyio.Lock] = {}

    def prepared(self, reference: str) -> Prepared | None:
        """What is ready now. A reference without a digest can come to mean another image, so it has to be looked up each time."""
        self._asked.add(reference)
        return self._prepared.get(reference) if "@" in reference else None

    async def prepare(self, reference: str) -> Prepared:
        """Find and unpack the image. Raises ImageMissing or BadImage, with what to do."""
        self._asked.add(reference)
        async with self._busy.setdefault(reference, anyio.Lock()):
            if found := self.prepared(reference):
                return found
            found = self._prepared[reference] = await anyio.to_thread.run_sync(self._prepare, reference)
            return found

    def warmths(self) -> set[Warmth]:
        """Of every image that is in use."""
        return {image.warmth for image in self._prepared.values() if image.warmth}

    async def forget_but(self, references: Callable[[], set[str]]) -> None:
        """Forget images that nothing uses any more and remove their layers. `references` answers those in use."""
        self._asked.clear()  # from here on, what is asked for while the disk is tidied counts as used
        wanted = references()
        self._prepared = {reference: image for reference, image in self._prepared.items() if reference in wanted}
        self._busy = {reference: lock for reference, lock in self._busy.items() if reference in wanted or lock.locked()}
        needed = {folder for image in self._prepared.values() for folder in image.folders}
        if not self._asked:
            await anyio.to_thread.run_sync(self._remove_others, needed)

    def _remove_others(self, needed: set[Path]) -> None:
        with self._disk:
            if not self._asked:
                self.layers.keep(needed)

    def _prepare(self, reference: str) -> Prepared:
        try:
            image = self._store.resolve(reference)
        except BuildError as error:
            raise ImageMissing(f"{str(error).rstrip('.')}. {HINT}") from error
        except (OSError, ValueError, KeyError) as error:
            raise BadImage(f"{reference} cannot be read from {self._settings.images}: {error}") from error
        labels = image.labels
        runtime = labels.get(RUNTIME, "")
        with self._disk:
            # A base is the container's operating system; here the machine has its own.
            folders = tuple(self.layers.unpack(layer) for layer in image.layers if layer.kind != "base" or runtime not in RUNTIMES)
            if runtime in programs.RUNTIMES:
                folders = (*folders, self.layers.merged(folders))
        source = next((str(f / "func") for f in reversed(folders) if (f / "func").is_dir()), "")
        warmth = self._warmth(image, folders) if runtime == "python" else None
        command = programs.command(image, Path(source)) if runtime in programs.RUNTIMES else ()
        return Prepared(reference, image.digest, folders, source, image.env, labels.get(HANDLER, ""), warmth, command)

    def _warmth(self, image: Image, folders: tuple[Path, ...]) -> Warmth:
        labels = image.labels
        runtime, deps = (tuple(str(path) for f in folders if (path := f / "opt/kfn" / part).is_dir()) for part in ("runtime", "deps"))
        preload = self._profiled(image) or tuple(name.strip() for name in labels.get(PRELOAD, "").split(",") if name.strip())
        return Warmth(interpreter(labels.get(PYTHON, "")), runtime, self._settings.imports, preload, self._settings.entry, deps)

    def _profiled(self, image: Image) -> tuple[str, ...]:
        """What the build saw the handler import; empty if it did not look."""
        try:
            data = self._store.attached(image.digest, profile.ARTIFACT)
            return profile.read(data).preload if data else ()
        except (BuildError, OSError, ValueError, KeyError, TypeError):
            return ()  # the label has what was found by reading the source


def interpreter(version: str) -> str:
    """A Python of that minor version on this machine: the platform's own, one on PATH, or one that uv knows. Blocks."""
    match = re.match(r"(\d+)\.(\d+)", version)
    if not match or (int(match[1]), int(match[2])) == sys.version_info[:2]:
        return os.path.realpath(sys.executable) if sys.prefix == sys.base_prefix else str(getattr(sys, "_base_executable", sys.executable))
    wanted = match[0]
    if (found := shutil.which(f"python{wanted}")) and _starts(found):
        return found
    try:
        answer = subprocess.run(["uv", "python", "find", "--no-project", wanted], capture_output=True, text=True, timeout=20, check=True)
        return answer.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        raise BadImage(
            f"the image needs Python {wanted}, which is not on this machine. "
            f"Install it (`uv python install {wanted}`) or build the function for {sys.version_info[0]}.{sys.version_info[1]}"
        ) from None


def _starts(python: str) -> bool:
    """pyenv and its like have programs on PATH that only tell that this version is not installed."""
    try:
        return subprocess.run([python, "-S", "-c", ""], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
