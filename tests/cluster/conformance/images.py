"""The suite's test images, made by kfn's own builder as the suite expects them of `ko`: `/ko-app/NAME`, user 65532, no shell.

Two layers each, without a Docker daemon: what every process expects (accounts, /tmp, folders), and the program.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from builder.base.configure import HOME, static
from builder.oci import EPOCH, LAYER_TAR, Blob, Content, Layer, canonical, image
from builder.platform import host
from builder.registry.client import Registries
from builder.registry.push import push
from builder.registry.reference import parse_ref
from builder.registry.settings import RegistrySettings
from builder.tar import Member, write_tar
from tests.cluster.shell import step

USER = "65532"


class Images(Protocol):
    """A compiled suite."""

    def images(self) -> dict[str, Path]: ...


async def push_all(suite: Images, prefix: str, registry: str) -> dict[str, str]:
    """Image name to reference with digest; pushed to `prefix`/NAME:latest unless they are there."""
    pushed = {}
    settings = RegistrySettings.from_environment(plain_http=(registry,))
    with step(f"pushed {len(suite.images())} test images to {prefix}"), tempfile.TemporaryDirectory() as folder:
        async with Registries(settings) as registries:
            below = _layer(Path(folder) / "base", static({}, True))
            for name, program in suite.images().items():
                content = _image(name, below, _layer(Path(folder) / name, [Member(f"ko-app/{name}", source=program, executable=True)]))
                await push(registries, content, (parse_ref(f"{prefix}/{name}:latest"),), lambda step: None)
                pushed[name] = f"{prefix}/{name}@{content.digest}"
    return pushed


def _layer(file: Path, members: Iterable[Member]) -> tuple[Layer, Blob]:
    with file.open("wb") as out:
        digest, size = write_tar(out, members)
    return Layer(digest, digest, size, LAYER_TAR, ""), Blob(digest, size, LAYER_TAR, path=file)


def _image(name: str, *layers: tuple[Layer, Blob]) -> Content:
    platform = host()
    config = {
        **platform.oci,
        "created": EPOCH,
        "config": {"Entrypoint": [f"/ko-app/{name}"], "User": USER, "WorkingDir": HOME, "Env": ["PATH=/usr/bin:/bin:/ko-app"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer, _ in layers]},
    }
    return image(canonical(config), tuple(layer for layer, _ in layers), tuple(blob for _, blob in layers), platform, {})
