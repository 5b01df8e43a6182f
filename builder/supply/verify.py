"""Check who signed an image: fetch it, compute its digest from the bytes that came, find the signatures about that digest.

One good signature is enough. Others that are bad are told but do not count, for whoever may write to the repository can add some.
Whether the image is what its source makes is another question: rebuild.py.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from builder.errors import BuildError, NotVerified, TransientError
from builder.oci import Content
from builder.supply import claims
from builder.supply.claims import Claim
from builder.supply.dsse import Malformed
from builder.supply.keys import Verifier
from builder.supply.model import BUNDLE
from builder.supply.reading import MOST_REFERRERS, LayoutPlace, Place
from builder.supply.sign import SIMPLE_SIGNING, old_tag


@dataclass(frozen=True, slots=True)
class Verified:
    """What the key has signed about the image: its own signatures, then statements. `problems`: what else was there."""

    name: str
    digest: str
    signatures: tuple[Claim, ...]
    statements: tuple[Claim, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Not:
    """Something that was there and does not count."""

    which: str
    why: str


async def verify(place: Place, verifier: Verifier) -> Verified:
    """Raises NotVerified if the key has not signed this image, with what was found instead."""
    image = await place.image()
    digest, found = image.digest, list[Claim]()
    reasons: dict[str, list[str]] = {}  # why not, and of which
    async for one in _claims(place, image, verifier):
        if isinstance(one, Claim):
            found.append(one)
        else:
            reasons.setdefault(one.why, []).append(one.which)
    problems = [f"{', '.join(names)}: {why}" for why, names in reasons.items()]
    signatures = tuple(one for one in found if one.is_signature)
    if not signatures:
        if found:
            problems.append(f"{len(found)} statements about the image are signed, but not the image itself")
        raise NotVerified(f"{place.name} ({digest}): " + ("; ".join(problems) or "nothing is signed there: no referrer, no .sig tag"))
    if isinstance(place, LayoutPlace):
        await _whole(place, image)
    return Verified(place.name, digest, signatures, tuple(one for one in found if not one.is_signature), tuple(problems))


async def _claims(place: Place, image: Content, verifier: Verifier) -> AsyncIterator[Claim | _Not]:
    """Every claim that holds, and for each that does not a text that says why."""
    listed = await place.referrers(image.digest)
    if len(listed) > MOST_REFERRERS:
        yield _Not(f"{len(listed)} artifacts are attached", f"only the first {MOST_REFERRERS} were read")
    for one in listed[:MOST_REFERRERS]:
        if one.artifact_type not in (BUNDLE, ""):
            continue
        try:
            artifact = await place.image(one.digest)
            bodies = [blob for blob in artifact.blobs[1:] if blob.media_type == BUNDLE]
            for blob in bodies:
                data = await place.blob(blob)
                claim = claims.in_bundle(data, image.data, image.digest, verifier)
                yield Claim(claim.form, claim.kind, claim.predicate, one.digest)
        except Malformed as error:
            yield _Not(f"signature {one.digest[:19]}", str(error))
        except TransientError:
            raise
        except BuildError as error:
            yield _Not(f"signature {one.digest[:19]}", str(error))
    async for old in _old(place, image, verifier):
        yield old


async def _old(place: Place, image: Content, verifier: Verifier) -> AsyncIterator[Claim | _Not]:
    tag = old_tag(image.digest)
    try:
        manifest = await place.tagged(tag)
    except TransientError:
        raise
    except BuildError as error:
        yield _Not(f"{tag[:14]}....sig", str(error))
        return
    layers = json.loads(manifest.data).get("layers") or [] if manifest else []
    for layer, blob in zip(layers, manifest.blobs[1:] if manifest else (), strict=True):
        if blob.media_type != SIMPLE_SIGNING:
            continue
        try:
            yield claims.in_layer(layer, await place.blob(blob), image.digest, verifier)
        except (Malformed, NotVerified) as error:
            yield _Not(f"{tag[:14]}....sig", str(error))


async def _whole(place: LayoutPlace, image: Content) -> None:
    """In a folder every byte can be checked, and nobody else will. Raises NotVerified."""
    for one in await images(place, image):
        with TemporaryDirectory() as scratch:
            for blob in one.blobs:
                await place.file(blob, Path(scratch))


async def images(place: Place, content: Content) -> tuple[Content, ...]:
    """The image, or the images that an index lists, each fetched."""
    from builder.registry.descriptor import entries

    if content.blobs:
        return (content,)
    listed = entries(content, place.name)
    return tuple([await place.image(one.digest) for one in listed if not one.artifact_type])
