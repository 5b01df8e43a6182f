"""kfn's own bases for tests: composed once for all of them, in the user's cache, of packages from the machine's own mirror."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from builder import image, layout, oci
from builder.base.app import find
from builder.base.model import Base
from builder.cache import Cache
from builder.errors import MirrorUnknown, MirrorUnreachable
from builder.language import Parts
from builder.options import BuildOptions, default_cache
from builder.platform import Platform
from builder.project import Project

CACHE = default_cache()


def options(**given: Any) -> BuildOptions:
    return BuildOptions(**{"store": None, "cache": CACHE, **given})


async def base(name: str, folder: Path, architecture: str = "amd64", **given: Any) -> Base:
    """A base as a build gets it. Skips the test where no mirror can be reached and the cache has not all of it."""
    project = Project(folder, "test", packages=given.pop("packages", ()), runtime=given.pop("runtime", "python"))
    try:
        return await find(name, Platform(architecture), project, options(**given))
    except (MirrorUnknown, MirrorUnreachable) as error:
        pytest.skip(f"no packages of Debian can be had: {error}")


def content(one: Base, cache: Path = CACHE, entrypoint: tuple[str, ...] = ("python3",)) -> oci.Content:
    """The base as an image of its own."""
    blobs = tuple(oci.Blob(layer.digest, layer.size, layer.media_type, path=Cache(cache).blob(layer.digest)) for layer in one.layers)
    return image.make(one, Parts((), entrypoint, folder="/"), one.layers, blobs, {})


def archive(one: Base, file: Path, kind: str = "oci-archive", name: str = "kfn.test/base:1", cache: Path = CACHE) -> Path:
    layout.write(layout.Output(kind, file), content(one, cache), (), name)
    return file


def variables(one: Base) -> Mapping[str, str]:
    return dict(entry.partition("=")[::2] for entry in one.config["Env"])
