"""What lies beside a finished image: its SBOM, how it was made, and signatures. Read this first; who pushes it is `deliver.py`.

    attached(described, whole, run, wanted) -> Attached(referrers, tagged)

Nothing here changes the image or its digest. With a key everything is signed; without one SBOM and provenance are attached as they are,
which says what is in the image but proves nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from builder.oci import Content, artifact, blob, sha256
from builder.supply.dsse import loads, statement
from builder.supply.keys import Signer
from builder.supply.model import IN_TOTO, PROVENANCE_PREDICATE, SBOM_PREDICATES, SBOM_TYPES, Described, Run
from builder.supply.provenance import provenance, without_times
from builder.supply.sbom import sbom
from builder.supply.sign import Tagged, attestation, old_signature, signature

KEY = "dev.kfn.attached"  # on every referrer: equal for two that say the same, so that a second push adds nothing
UNSIGNED_PREDICATE = "in-toto.io/predicate-type"  # as buildkit annotates a bare statement


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be attached. `sbom` is `cyclonedx`, `spdx` or empty. `old` adds signatures in the form of before 2025."""

    sbom: str = ""
    provenance: bool = False
    signer: Signer | None = None
    old: bool = False

    def __bool__(self) -> bool:
        return bool(self.sbom or self.provenance or self.signer)


@dataclass(frozen=True, slots=True)
class Attached:
    """`referrers` name their image as subject; `tagged` (the old signatures) are found by tag."""

    referrers: tuple[Content, ...] = ()
    tagged: tuple[Tagged, ...] = ()


def attached(described: Sequence[Described], whole: Content, run: Run, wanted: Wanted, repository: str = "") -> Attached:
    """All of one build. `whole` is the image, or the index of several, whose images are `described`."""
    subjects = {whole.digest: whole} | {one.image.digest: one.image for one in described}
    referrers = [
        *(one for image in described for one in _sbom(image, wanted)),
        *_provenance(tuple(subjects.values()), described, whole, run, wanted),
    ]
    tagged: list[Tagged] = []
    if wanted.signer:
        referrers += [signature(one, wanted.signer) for one in subjects.values()]  # the same each time: see keys.py
        tagged = [old_signature(one, repository, wanted.signer) for one in subjects.values()] if wanted.old else []
    return Attached(tuple(referrers), tuple(tagged))


def new(referrers: Sequence[Content], present: Sequence[dict[str, Any]]) -> tuple[Content, ...]:
    """Those that are not there yet. `present` are the descriptors that the registry lists for their subjects."""
    digests = {str(one.get("digest")) for one in present}
    keys = {str((one.get("annotations") or {}).get(KEY)) for one in present}
    return tuple(one for one in referrers if one.digest not in digests and one.annotations.get(KEY) not in keys)


def _sbom(described: Described, wanted: Wanted) -> Iterator[Content]:
    if not wanted.sbom:
        return
    body = sbom(described, wanted.sbom)
    if wanted.signer:
        kind = SBOM_PREDICATES[wanted.sbom]
        about = statement([(described.image.digest, described.name)], kind, loads(body, "the SBOM"))
        notes = {KEY: _key(body, wanted.signer)}
        yield attestation(described.image, about, kind, wanted.signer, notes)
    else:
        kind = SBOM_TYPES[wanted.sbom]
        yield artifact(kind, described.image, (blob(body, kind),), {KEY: _key(body, None)})


def _provenance(
    subjects: tuple[Content, ...], described: Sequence[Described], whole: Content, run: Run, wanted: Wanted
) -> Iterator[Content]:
    """The same statement for the index and for each image in it, so that whoever has one of them finds it."""
    if not wanted.provenance:
        return
    body = provenance(described, whole, run)
    notes = {KEY: _key(without_times(body).encode(), wanted.signer)}
    for subject in subjects:
        if wanted.signer:
            yield attestation(subject, body, PROVENANCE_PREDICATE, wanted.signer, notes)
        else:
            yield artifact(IN_TOTO, subject, (blob(body, IN_TOTO),), {UNSIGNED_PREDICATE: PROVENANCE_PREDICATE, **notes})


def _key(body: bytes, signer: Signer | None) -> str:
    return sha256(body + (signer.verifier.hint.encode() if signer else b""))


__all__ = ["KEY", "Attached", "Wanted", "attached", "new"]
