"""Where a runner's source comes from: an artifact in a registry, a git repository, or the Build itself. And how an artifact goes away."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anyio.to_thread

from builder.cluster.extract import Limits, SourceUnsafe, extract
from builder.cluster.source_artifact import layer_of
from builder.errors import ImageMissing
from builder.options import count
from builder.registry.client import Registries
from builder.registry.reference import parse_ref
from builder.sources import giturl
from builder.sources.giturl import GitUrl, Password
from kfn.api.build import BuildSpec, GitSource

AUTH_FILES = "KFN_REGISTRY_AUTH"  # as the registry client reads it
Tell = Callable[[str, str], None]


async def source(spec: BuildSpec, scratch: Path, secrets: Path, tell: Tell) -> Path | GitUrl:
    """What to build: a folder in `scratch` that is named like the function, or a repository, which the build fetches itself. Raises a
    BuildError."""
    if spec.source.git is not None:
        url = git_url(spec.source.git, secrets)
        tell("fetch", f"git {url}")
        return url
    folder = scratch / (spec.name or spec.image.repository.rpartition("/")[2])
    folder.mkdir()
    if spec.source.inline:
        await anyio.to_thread.run_sync(write, spec.source.inline, folder)
        tell("fetch", f"{count(len(spec.source.inline), 'file')} of the Build itself")
    else:
        size = await download(spec.source.artifact, scratch, folder)
        tell("fetch", f"{spec.source.artifact}, {size} bytes")
    return folder


def write(inline: dict[str, str], folder: Path) -> None:
    """The files that a Build carries itself. Their paths were checked at admission, and are again."""
    for name, text in inline.items():
        path = folder / name
        if name.startswith("/") or ".." in name.split("/"):
            raise SourceUnsafe(f"{name!r} is not a path inside the source")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise SourceUnsafe(f"{name!r} cannot be written: {error.strerror}") from None


def git_url(source: GitSource, secrets: Path) -> GitUrl:
    """The repository with its ref and folder, and with the user and password of the Secret that was mounted, if one was."""
    found = giturl.parse(f"{source.url}#{source.ref}{':' if source.subdir else ''}{source.subdir}")
    user, password = secrets / "git" / "username", secrets / "git" / "password"
    if user.is_file():
        found = replace(found, user=user.read_text().strip())
    if password.is_file():
        found = replace(found, password=Password(password.read_text().strip()))
    return found


async def download(artifact: str, scratch: Path, folder: Path) -> int:
    """Fetch an artifact by its digest, check it and unpack it; gives its size."""
    ref, packed = parse_ref(artifact), scratch / "source.tar.gz"
    async with Registries() as registries:
        manifest = await registries.manifest(ref)
        digest, size = layer_of(manifest.data)
        if not 0 < size <= Limits().bytes:
            raise SourceUnsafe(f"it has {size} bytes, {Limits().bytes} are allowed")
        await registries.download(ref, next(blob for blob in manifest.blobs if blob.digest == digest), packed)

    def unpack() -> None:
        with packed.open("rb") as file:
            extract(file, folder)
        packed.unlink()

    await anyio.to_thread.run_sync(unpack)
    return size


async def sweep(artifact: str) -> None:
    """Delete an artifact's manifest, and with it its tag. One that is gone already is fine."""
    async with Registries() as registries:
        try:
            await registries.delete(parse_ref(artifact))
        except ImageMissing:
            return
