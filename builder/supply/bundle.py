"""Sigstore bundle v0.3 for a key: an envelope with one signature and a hint which key made it, as cosign v3 writes and reads it. Pure.

No certificate, no transparency log: who verifies has the public key. Format: sigstore's protobuf-specs, sigstore_bundle.proto as JSON.
"""

import base64
from dataclasses import dataclass

from builder.oci import canonical
from builder.supply.dsse import PAYLOAD_TYPE, Malformed, loads, pae, unbase64
from builder.supply.model import BUNDLE

_SAME = ("application/vnd.dev.sigstore.bundle+json;version=0.3", BUNDLE)


@dataclass(frozen=True, slots=True)
class Signed:
    """What a bundle holds. `payload` is None for a signature over the image's manifest itself."""

    hint: str
    signature: bytes
    payload: bytes | None
    payload_type: str = PAYLOAD_TYPE

    def message(self, manifest: bytes) -> bytes:
        """The bytes that the signature is over."""
        return manifest if self.payload is None else pae(self.payload_type, self.payload)


def write(payload: bytes, signature: bytes, hint: str) -> bytes:
    """The bundle of a statement. `signature` is over its `pae`."""
    return canonical(
        {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": hint}},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": base64.b64encode(signature).decode()}],
            },
        }
    )


def read(data: bytes) -> Signed:
    """Raises Malformed for what is no bundle that a public key can check."""
    content = loads(data, "the bundle")
    if content.get("mediaType") not in _SAME:
        raise Malformed(f"the bundle is of type {content.get('mediaType')!r}; only v0.3 is read")
    material = content.get("verificationMaterial")
    key = material.get("publicKey") if isinstance(material, dict) else None
    if not isinstance(key, dict):
        raise Malformed("the bundle was not made with a key but with a certificate, which kfn does not check")
    hint = str(key.get("hint", ""))
    if isinstance(message := content.get("messageSignature"), dict):
        return Signed(hint, unbase64(message.get("signature"), "the bundle's signature"), None)
    envelope = content.get("dsseEnvelope")
    if not isinstance(envelope, dict):
        raise Malformed("the bundle holds neither an envelope nor a signature")
    signatures = envelope.get("signatures")
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise Malformed("the bundle's envelope must have exactly one signature")
    if envelope.get("payloadType") != PAYLOAD_TYPE:
        raise Malformed(f"the bundle's payload is of type {envelope.get('payloadType')!r}, not an in-toto statement")
    payload = unbase64(envelope.get("payload"), "the bundle's payload")
    return Signed(hint, unbase64(signatures[0].get("sig"), "the bundle's signature"), payload)
