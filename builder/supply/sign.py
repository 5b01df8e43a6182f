"""Signatures and attestations as artifacts that refer to an image, in the two forms that cosign reads.

The newer one is a Sigstore bundle that the registry lists as the image's referrer. The older one is a manifest under the tag
`sha256-<digest>.sig`, which policy engines from before 2025 look for.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from builder.oci import CONFIG, MANIFEST, Blob, Content, artifact, blob, canonical
from builder.supply import bundle
from builder.supply.dsse import PAYLOAD_TYPE, pae, statement
from builder.supply.keys import Signer
from builder.supply.model import BUNDLE, SIGNATURE_PREDICATE

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
CLAIM = "cosign container image signature"
CONTENT, PREDICATE = "dev.sigstore.bundle.content", "dev.sigstore.bundle.predicateType"


@dataclass(frozen=True, slots=True)
class Tagged:
    """A manifest that is found by its tag, not as a referrer."""

    tag: str
    content: Content


def signature(subject: Content, signer: Signer) -> Content:
    """What `cosign sign --key` writes: a statement about the digest that says nothing more."""
    return attestation(subject, statement([(subject.digest, "")], SIGNATURE_PREDICATE, {}), SIGNATURE_PREDICATE, signer, {})


def attestation(subject: Content, body: bytes, predicate_type: str, signer: Signer, annotations: dict[str, str]) -> Content:
    """A signed statement as a referrer of `subject`."""
    signed = bundle.write(body, signer.sign(pae(PAYLOAD_TYPE, body)), signer.verifier.hint)
    return artifact(BUNDLE, subject, (blob(signed, BUNDLE),), {CONTENT: "dsse-envelope", PREDICATE: predicate_type, **annotations})


def old_tag(digest: str) -> str:
    return f"{digest.replace(':', '-')}.sig"


def old_signature(subject: Content, repository: str, signer: Signer) -> Tagged:
    """The simple-signing form. `repository` is only told, nobody checks it: an image may be copied together with its signature."""
    payload = canonical(
        {
            "critical": {
                "identity": {"docker-reference": repository},
                "image": {"docker-manifest-digest": subject.digest},
                "type": CLAIM,
            },
            "optional": None,
        }
    )
    body = blob(payload, SIMPLE_SIGNING)
    layer: dict[str, Any] = {"mediaType": body.media_type, "digest": body.digest, "size": body.size}
    layer["annotations"] = {SIGNATURE: base64.b64encode(signer.sign(payload)).decode()}
    return Tagged(old_tag(subject.digest), _old([layer], (body,)))


def joined(there: Content | None, ours: Content) -> Content:
    """The signatures that the tag has already, and ours behind them. The same content if ours are there."""
    if there is None:
        return ours
    theirs, own = (list(json.loads(one.data).get("layers") or ()) for one in (there, ours))
    texts = [(one.get("annotations") or {}).get(SIGNATURE) for one in theirs]
    added = [one for one in own if one["annotations"][SIGNATURE] not in texts]
    if not added:
        return there
    blobs = {one.digest: one for one in (*there.blobs[1:], *ours.blobs[1:])}
    layers = [*theirs, *added]
    return _old(layers, tuple(blobs[str(one["digest"])] for one in layers))


def _old(layers: list[dict[str, Any]], blobs: tuple[Blob, ...]) -> Content:
    """Readers of this form want an image's config, with the payloads for layers."""
    diff_ids = [one["digest"] for one in layers]
    config = blob(canonical({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}), CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": config.digest, "size": config.size},
        "layers": layers,
    }
    return Content(canonical(manifest), MANIFEST, (config, *blobs))
