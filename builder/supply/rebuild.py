"""Build again from the source and compare: does this image hold what its source makes? Signatures are another question: verify.py.

What the image's provenance says of options (its base above all) is taken for the rebuild, as a hint: it need not be signed, for a wrong
hint only makes other layers. What is compared are config and diff ids; compressed bytes may differ with another zlib, which is told.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio.to_thread

from builder.app import build
from builder.errors import BuildError, NotVerified
from builder.oci import LAYER_TAR, LAYER_ZSTD, Content
from builder.options import BuildOptions, Progress, Step
from builder.platform import Platform
from builder.project import load_project
from builder.supply import bundle, compare, dsse
from builder.supply.compare import LayerFile
from builder.supply.dsse import Malformed
from builder.supply.model import BUNDLE, IN_TOTO, PROVENANCE_PREDICATE
from builder.supply.reading import MOST_REFERRERS, Place
from builder.supply.verify import images


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`same` if every layer's content and the config are equal. `notes` are for people, a line or several each."""

    same: bool
    digest: str
    rebuilt: str
    notes: tuple[str, ...]


async def rebuild(place: Place, source: Path, options: BuildOptions, progress: Progress) -> Rebuilt:
    """Nothing is written but the cache. Raises what a build and a registry raise."""
    whole = await place.image()
    theirs = await images(place, whole)
    configs = [json.loads(await place.blob(one.blobs[0])) for one in theirs]
    hints = await _hints(place, whole)
    base = options.base or _base((await anyio.to_thread.run_sync(load_project, source)).base, hints)
    given = _options(options, hints, base, theirs, configs)
    progress(Step("verify", f"{place.name}@{whole.digest[:19]}: rebuilding{f' on {base}' if base else ''}"))
    made = await build(source, given, progress)
    ours = {str(one.platform): one for one in made.content.images()}
    notes: list[str] = []
    same = True
    for image, config in zip(theirs, configs, strict=True):
        wanted = f"{config.get('os')}/{config.get('architecture')}"
        if wanted not in ours:
            raise NotVerified(f"{place.name} is for {wanted}, which was not built")
        found = await _differences(place, image, config, ours[wanted])
        same = same and not found
        notes += [f"{wanted}: {one}" for one in found]
    if same and made.digest != whole.digest:
        notes.append(_why(whole, made.content, theirs, list(ours.values())))
    return Rebuilt(same, whole.digest, made.digest, tuple(notes))


async def _differences(place: Place, theirs: Content, config: dict[str, Any], ours: Content) -> list[str]:
    """Nothing if the configs, which name every diff id, are the same."""
    if theirs.blobs[0].digest == ours.blobs[0].digest:
        return []
    own = json.loads(ours.blobs[0].data or b"{}")
    left, right = list(config["rootfs"]["diff_ids"]), list(own["rootfs"]["diff_ids"])
    notes = list(compare.configs(config, own))
    names = compare.kinds(theirs.data)
    if len(left) != len(right):
        notes.append(
            f"the image has {len(left)} layers, the rebuild {len(right)}: {', '.join(names)} and {', '.join(compare.kinds(ours.data))}"
        )
    for at, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            notes.append(
                f"layer {at + 1} ({names[at]}) is {a[:19]} in the image and {b[:19]} in the rebuild:{await _files(place, theirs, ours, at)}"
            )
    return notes or [f"the config is {theirs.blobs[0].digest[:19]} in the image and {ours.blobs[0].digest[:19]} in the rebuild"]


async def _files(place: Place, theirs: Content, ours: Content, at: int) -> str:
    """The paths that differ in one layer, each on its line."""
    a, b = theirs.blobs[at + 1], ours.blobs[at + 1]
    if b.path is None:
        return "\n    (its files are in the base's registry and were not compared)"
    with TemporaryDirectory() as scratch:
        path = await place.file(a, Path(scratch))
        found = await anyio.to_thread.run_sync(compare.paths, LayerFile(path, a.media_type), LayerFile(b.path, b.media_type))
    return compare.shown(found)


def _why(whole: Content, made: Content, theirs: Sequence[Content], ours: Sequence[Content]) -> str:
    """Why the digests differ though the content is the same."""
    packed = {blob.digest for one in theirs for blob in one.blobs} == {blob.digest for one in ours for blob in one.blobs}
    if packed:
        left, right = json.loads(whole.data), json.loads(made.data)
        names = sorted(key for key in left.keys() | right.keys() if left.get(key) != right.get(key))
        return f"the same content; the manifest differs in {', '.join(names)}"
    return "the same content, compressed to other bytes: made with another version of zlib or zstd"


def _options(
    options: BuildOptions, hints: dict[str, Any], base: str, theirs: Sequence[Content], configs: Sequence[dict[str, Any]]
) -> BuildOptions:
    """What was asked for here counts; the image's own word fills the gaps."""
    kinds = {blob.media_type for one in theirs for blob in one.blobs[1:]}
    compression = "none" if kinds == {LAYER_TAR} else "zstd" if LAYER_ZSTD in kinds else "gzip"
    extras = hints.get("extras")
    return replace(
        options,
        store=None,
        push=False,
        outputs=(f"oci:{options.cache / 'tmp' / 'verify'}",),  # as for an image that leaves; with dry_run nothing is written there
        dry_run=True,
        locked=True,  # a comparison must not change a lock, and without one it would be chance
        attest=False,
        sign=None,
        profile=False,
        platforms=options.platforms or tuple(sorted(Platform(str(one.get("architecture"))) for one in configs)),
        compression=compression,
        base=options.base or base,
        wheels=options.wheels or str(hints.get("wheels") or ""),
        name=options.name or str(hints.get("name") or ""),
        namespace=options.namespace or str(hints.get("namespace") or ""),
        timestamp="commit" if hints.get("timestamp") == "commit" else options.timestamp,
        git_annotations=hints.get("gitAnnotations") is True or options.git_annotations,
        extras=options.extras or (tuple(str(one) for one in extras) if isinstance(extras, list) else ()),
    )


async def _hints(place: Place, whole: Content) -> dict[str, Any]:
    """The options in the first provenance that can be read."""
    for one in (await place.referrers(whole.digest))[:MOST_REFERRERS]:
        if one.artifact_type not in (IN_TOTO, BUNDLE):
            continue
        try:
            for blob in (await place.image(one.digest)).blobs[1:]:
                data = await place.blob(blob)
                payload = data if blob.media_type == IN_TOTO else bundle.read(data).payload
                found = dsse.read(payload or b"")
                if found.predicate_type == PROVENANCE_PREDICATE:
                    return dict(found.predicate["buildDefinition"]["externalParameters"]["options"])
        except (Malformed, KeyError, TypeError, ValueError, BuildError):
            continue
    return {}


def _base(own: str, hints: dict[str, Any]) -> str:
    """What to stand on. An image that the source does not name is not taken from the provenance, for its interpreter would be run."""
    named, pinned = str(hints.get("base") or ""), str(hints.get("baseReference") or "")
    if not set(named) & set("/:@"):
        return named
    if named != own:
        raise NotVerified(
            f"its provenance says that it stands on {named}, which the source does not name; if that is right give --base {named}"
        )
    return pinned or named
