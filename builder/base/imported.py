"""Bases brought by hand, for machines that reach no registry: an OCI layout (folder or tar) or a docker-archive, kept in the cache.

Everything in the file is checked before it is kept: names, sizes, and every blob against its digest or diff id. An imported image is
found under its name before any registry is asked.
"""

import gzip
import hashlib
import json
import re
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from builder import files, oci
from builder.base import foreign
from builder.base.model import Base
from builder.cache import Cache
from builder.errors import UsageError
from builder.layout import CONTAINERD_NAME, REF_NAME
from builder.oci import LAYER_GZIP, LAYER_TAR, Layer
from builder.options import BuildOptions
from builder.platform import Platform, host
from builder.project import Project
from builder.registry.reference import parse_ref
from builder.untar import Bounded

FOLDER = "imported"
MOST_FILES = 5000
MOST_JSON = 4 << 20
MOST_BYTES = 20_000_000_000
_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Imported:
    """An image as it was kept. `name` is how builds call it."""

    name: str
    platforms: tuple[str, ...]
    digest: str
    size: int


def bring(cache: Cache, source: Path, name: str = "") -> Imported:
    """Keep the image in `source` under `name`, by default the name that it has there. Blocks. Raises UsageError."""
    with cache.folder() as scratch:
        if source.is_dir():
            root = source
        elif source.is_file():
            root = scratch / "in"
            _extract(source, root)
        else:
            raise UsageError(f"{source} does not exist")
        is_layout = source.is_dir() or (root / "index.json").is_file()  # newer dockers save both in one file
        own, images = _oci(root, source) if is_layout else _docker(root, source)
        name = str(parse_ref(name or own or _no_name(source)))
        for one in images.values():
            for layer in one["layers"]:
                _keep(cache, root, layer, source, scratch)
    digest = oci.sha256(oci.canonical(images))
    file = cache.path / FOLDER / f"{hashlib.sha256(name.encode()).hexdigest()}.json"
    files.write(file, json.dumps({"name": name, "images": images}, sort_keys=True).encode())
    return _listed(name, images, digest)


def listing(cache: Cache) -> tuple[Imported, ...]:
    found = []
    for file in sorted((cache.path / FOLDER).glob("*.json")):
        with suppress(ValueError, KeyError, OSError):
            body = json.loads(file.read_bytes())
            found.append(_listed(body["name"], body["images"], oci.sha256(oci.canonical(body["images"]))))
    return tuple(sorted(found, key=lambda one: one.name))


async def find(name: str, platform: Platform, project: Project, options: BuildOptions) -> Base | None:
    """The imported image of this name. None if there is none."""
    cache = Cache(options.cache, read=not options.no_cache)
    file = cache.path / FOLDER / f"{hashlib.sha256(str(parse_ref(name)).encode()).hexdigest()}.json"
    try:
        images = json.loads(file.read_bytes())["images"]
    except (OSError, ValueError, KeyError):
        return None
    if str(platform) not in images:
        raise UsageError(f"--base {name} was imported for {', '.join(sorted(images))}, not for {platform}; import one that is")
    base = _base(cache, name, platform, images)

    async def fetch(layer: Layer, path: Path) -> None:
        raise UsageError(f"--base {name}: its layer {layer.digest[:19]} is gone from {cache.path}; `kfn base import` it again")

    async def twin() -> Base | None:
        own = host()
        return _base(cache, name, own, images) if str(own) in images else None

    return await foreign.with_python(cache, base, twin, fetch, options) if project.runtime == "python" else base


def _base(cache: Cache, name: str, platform: Platform, images: Mapping[str, Any]) -> Base:
    one = images[str(platform)]
    layers = tuple(Layer(**layer) for layer in one["layers"])
    for layer in layers:
        kept = cache.path / FOLDER / layer.digest.removeprefix("sha256:")
        if kept.is_file():
            files.link_or_copy(kept, cache.blob(layer.digest))
            files.used(cache.blob(layer.digest))
    return Base(name, platform, digest=one["digest"], layers=layers, config=one["config"])


def _listed(name: str, images: Mapping[str, Any], digest: str) -> Imported:
    sizes = {layer["digest"]: layer["size"] for one in images.values() for layer in one["layers"]}
    return Imported(name, tuple(sorted(images)), digest, sum(sizes.values()))


def _no_name(source: Path) -> str:
    raise UsageError(f"the image in {source} has no name; give it one with --name")


def _extract(source: Path, root: Path) -> None:
    """The regular files of the tar, flat enough to be looked up by name; links between them are followed here, never on disk."""
    links: dict[str, str] = {}
    count = total = 0
    try:
        with tarfile.open(source, mode="r|*", tarinfo=Bounded) as tar:
            for member in tar:
                count, total = count + 1, total + member.size
                if count > MOST_FILES or total > MOST_BYTES:
                    raise UsageError(f"{source} has more than {MOST_FILES} files or {MOST_BYTES // 10**9} GB")
                path = member.name.removeprefix("./")
                if path.startswith("/") or ".." in path.split("/") or "\0" in path:
                    raise UsageError(f"{source} holds {member.name!r}, which leads outside")
                if member.isreg():
                    target = root / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    content = tar.extractfile(member)
                    assert content is not None  # it is a regular file
                    with content, target.open("xb") as file:
                        shutil.copyfileobj(content, file, 1 << 20)
                elif member.issym():
                    links[path] = member.linkname
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UsageError(f"{source} is no image archive: {error}") from None
    for link, where in links.items():
        _follow(root, link, where)


def _follow(root: Path, path: str, target: str) -> None:
    parts: list[str] = path.split("/")[:-1]
    for part in target.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    there = root.joinpath(*parts)
    if there.is_file() and not (root / path).exists():
        files.link_or_copy(there, root / path)


def _oci(root: Path, source: Path) -> tuple[str, dict[str, Any]]:
    """Name and images of an OCI layout; of several images the first, with all its platforms."""
    entries = _json(root / "index.json", source).get("manifests") or []
    images: dict[str, Any] = {}
    name = ""
    pending = [entry for entry in entries if isinstance(entry, dict)]
    while pending and len(images) < 8:
        entry = pending.pop(0)
        notes = entry.get("annotations") or {}
        body = _json(_blob(root, entry.get("digest"), source), source, str(entry.get("digest")))
        if "manifests" in body:
            pending[:0] = [one for one in body["manifests"] if isinstance(one, dict)]
        elif body.get("layers") and not body.get("artifactType") and not body.get("subject"):
            config = _json(_blob(root, body["config"]["digest"], source), source, body["config"]["digest"])
            ids = (config.get("rootfs") or {}).get("diff_ids") or []
            layers = [
                asdict(Layer(one["digest"], diff_id, int(one["size"]), foreign.TYPES.get(one["mediaType"], one["mediaType"]), "base"))
                for one, diff_id in zip(body["layers"], ids, strict=False)
            ]
            _add(images, config, layers, str(entry["digest"]), len(ids) == len(body["layers"]), source)
        name = name or notes.get(CONTAINERD_NAME) or notes.get(REF_NAME) or ""
    return name, _some(images, source)


def _docker(root: Path, source: Path) -> tuple[str, dict[str, Any]]:
    listed = _json(root / "manifest.json", source, whole=True)
    if not isinstance(listed, list) or len(listed) != 1:
        raise UsageError(f"{source} holds {len(listed) if isinstance(listed, list) else 'no'} images; save one")
    config_path = _inside(root, listed[0].get("Config"), source)
    config = _json(config_path, source)
    ids, paths = (config.get("rootfs") or {}).get("diff_ids") or [], listed[0].get("Layers") or []
    layers = []
    for diff_id, path in zip(ids, paths, strict=False):
        layer = _inside(root, path, source)
        digest = files.sha256(layer)
        packed = digest != diff_id
        target = root / "blobs" / "sha256" / digest.removeprefix("sha256:")
        files.link_or_copy(layer, target)
        layers.append(asdict(Layer(digest, diff_id, layer.stat().st_size, LAYER_GZIP if packed else LAYER_TAR, "base")))
    images: dict[str, Any] = {}
    _add(images, config, layers, files.sha256(config_path), len(ids) == len(paths), source)
    return (listed[0].get("RepoTags") or [""])[0], images


def _add(images: dict[str, Any], config: Mapping[str, Any], layers: list[Any], digest: str, even: bool, source: Path) -> None:
    platform = f"{config.get('os')}/{config.get('architecture')}"
    if not even or not layers or not all(isinstance(layer["diff_id"], str) for layer in layers):
        raise UsageError(f"{source}: the layers of its image for {platform} are not those that its config names")
    if strange := next((layer["media_type"] for layer in layers if layer["media_type"] not in foreign.TYPES), ""):
        raise UsageError(f"{source}: a layer of type {strange!r} cannot be built on")
    images.setdefault(platform, {"digest": digest, "config": config.get("config") or {}, "layers": layers})


def _some(images: dict[str, Any], source: Path) -> dict[str, Any]:
    if not images:
        raise UsageError(f"{source} holds no image")
    return images


def _keep(cache: Cache, root: Path, layer: Mapping[str, Any], source: Path, scratch: Path) -> None:
    path = _blob(root, layer["digest"], source)
    if source.is_dir():  # a link to a file there would change with it
        path = Path(shutil.copyfile(path, scratch / path.name))
    if layer["media_type"] in (LAYER_GZIP, LAYER_TAR):  # zstd needs a library; who unpacks it will see
        plain = hashlib.sha256()
        try:
            with gzip.open(path) if layer["media_type"] == LAYER_GZIP else path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    plain.update(chunk)
        except (OSError, EOFError, zlib.error) as error:
            raise UsageError(f"{source}: layer {layer['digest'][:19]} cannot be unpacked: {error}") from None
        if f"sha256:{plain.hexdigest()}" != layer["diff_id"]:
            raise UsageError(f"{source}: layer {layer['digest'][:19]} does not hold what its config says; the file is damaged")
    if files.sha256(path) != layer["digest"]:
        raise UsageError(f"{source}: layer {layer['digest'][:19]} is not what its digest says; the file is damaged")
    files.link_or_copy(path, cache.path / FOLDER / layer["digest"].removeprefix("sha256:"))


def _blob(root: Path, digest: object, source: Path) -> Path:
    path = f"blobs/sha256/{str(digest).removeprefix('sha256:')}"
    if not _BLOB.fullmatch(path) or not (root / path).is_file():
        raise UsageError(f"{source}: {str(digest)[:80]} is not in it")
    return root / path


def _inside(root: Path, path: object, source: Path) -> Path:
    text = str(path)
    if not isinstance(path, str) or text.startswith("/") or ".." in text.split("/") or not (root / text).is_file():
        raise UsageError(f"{source}: {text[:80]!r} is not in it")
    return root / text


def _json(path: Path, source: Path, digest: str = "", *, whole: bool = False) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_JSON)
        body = json.loads(data)
    except (OSError, ValueError, RecursionError):
        raise UsageError(f"{source} is neither an OCI layout nor a docker-archive ({path.name} is not there or no JSON)") from None
    if digest and oci.sha256(data) != digest:
        raise UsageError(f"{source}: {digest[:19]} is not what its digest says; the file is damaged")
    if not isinstance(body, dict) and not whole:
        raise UsageError(f"{source}: {path.name} is no JSON object")
    return body
