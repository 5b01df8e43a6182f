"""Whether a signature says, with this key, something of this image. Every reason why not has its own words. Pure."""

from dataclasses import dataclass
from typing import Any

from builder.supply import bundle
from builder.supply.dsse import Malformed, loads, read, unbase64
from builder.supply.keys import Verifier
from builder.supply.model import SIGNATURE_PREDICATE
from builder.supply.sign import CLAIM, SIGNATURE


@dataclass(frozen=True, slots=True)
class Claim:
    """Something signed about an image. `form` is `bundle` or `tag`; `predicate` is empty for a plain signature."""

    form: str
    kind: str = ""  # the predicate's type; empty: "this image"
    predicate: dict[str, Any] | None = None
    digest: str = ""  # of the artifact that holds it

    @property
    def is_signature(self) -> bool:
        return self.kind in ("", SIGNATURE_PREDICATE)


def in_bundle(data: bytes, manifest: bytes, digest: str, verifier: Verifier) -> Claim:
    """What a Sigstore bundle says of the image whose manifest this is. Raises Malformed with the reason."""
    signed = bundle.read(data)
    if not verifier.good(signed.message(manifest), signed.signature):
        if signed.hint and signed.hint != verifier.hint:
            raise Malformed(f"it was made with another key: that one's hint is {signed.hint}, the given key's {verifier.hint}")
        raise Malformed("its signature is wrong: it is not of this text, or not of this key")
    if signed.payload is None:
        return Claim("bundle")
    statement = read(signed.payload)
    if digest.removeprefix("sha256:") not in statement.subjects:
        about = ", ".join(f"sha256:{one[:12]}..." for one in statement.subjects[:3]) or "nothing"
        raise Malformed(f"it is validly signed, but speaks of {about}, not of this image")
    return Claim("bundle", statement.predicate_type, statement.predicate)


def in_layer(layer: dict[str, Any], payload: bytes, digest: str, verifier: Verifier) -> Claim:
    """What one layer of a manifest under `sha256-....sig` says. Raises Malformed with the reason."""
    notes = layer.get("annotations")
    text = notes.get(SIGNATURE) if isinstance(notes, dict) else None
    if text is None:
        raise Malformed(f"the layer has no annotation {SIGNATURE}")
    if not verifier.good(payload, unbase64(text, "the signature")):
        raise Malformed("its signature is wrong: it is not of this text, or not of this key")
    critical = loads(payload, "the payload").get("critical")
    image = critical.get("image") if isinstance(critical, dict) else None
    if not isinstance(critical, dict) or not isinstance(image, dict) or critical.get("type") != CLAIM:
        raise Malformed(f"it is validly signed, but its payload is no {CLAIM!r}")
    about = str(image.get("docker-manifest-digest"))
    if about != digest:
        raise Malformed(f"it is validly signed, but speaks of {about[:19]}..., not of this image")
    return Claim("tag")
