"""Signing keys from files: ECDSA P-256 and Ed25519, as PKCS #8 PEM with or without a password, or as cosign encrypts them.

The password comes from the environment, never from a command line, which every process of the machine can read. An error names the
file and never what is in it.
"""

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import KeyInvalid
from builder.supply import cosignkey
from builder.supply.dsse import Malformed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    Public = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

PASSWORDS = ("KFN_SIGN_PASSWORD", "COSIGN_PASSWORD")
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
_COSIGN = re.compile(rb"-----BEGIN ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END")
_MOST = 64_000  # bytes of a key file
_KINDS = "kfn signs with ECDSA P-256 and Ed25519"


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key. `hint` names it in a bundle: the sha256 of its SubjectPublicKeyInfo, as cosign makes it."""

    key: "Public"
    hint: str

    def good(self, message: bytes, signature: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            if isinstance(self.key, ec.EllipticCurvePublicKey):
                self.key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
            else:
                self.key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    @property
    def pem(self) -> bytes:
        from cryptography.hazmat.primitives import serialization as s

        return self.key.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key. ECDSA's random number comes from the message (RFC 6979), so signing twice gives the same signature."""

    key: "Private"
    verifier: Verifier

    def sign(self, message: bytes) -> bytes:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        if not isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(message)
        try:
            made = self.key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        except UnsupportedAlgorithm:  # a distribution's cryptography on OpenSSL before 3.2
            made = self.key.sign(message, ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(made)
        return utils.encode_dss_signature(r, min(s, _ORDER - s))  # of the two that are valid, the one that every reader takes


def private(path: Path) -> Signer:
    """Raises KeyInvalid, which says what to do."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    data = _read(path)
    password = next((os.environ[name].encode() for name in PASSWORDS if name in os.environ), None)
    try:
        if found := _COSIGN.search(data):
            if password is None:
                raise KeyInvalid(f"{path} is encrypted by cosign; its password comes from {PASSWORDS[0]} or {PASSWORDS[1]}")
            der = cosignkey.decrypt(base64.b64decode(found[1]), password)
            key = serialization.load_der_private_key(der, None)
        else:
            encrypted = b"ENCRYPTED" in data
            if encrypted and not password:
                raise KeyInvalid(f"{path} is encrypted; its password comes from {PASSWORDS[0]} or {PASSWORDS[1]}")
            key = serialization.load_pem_private_key(data, password if encrypted else None)
    except cosignkey.WrongPassword:
        raise KeyInvalid(f"{path}: the password in {_used()} does not open it") from None
    except Malformed as error:
        raise KeyInvalid(f"{path}: {error}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = f"the password in {_used()} does not open it" if b"ENCRYPTED" in data else _why(data, "private")
        raise KeyInvalid(f"{path}: {why}") from error
    return _signer(key, path)


def public(path: Path) -> Verifier:
    """Raises KeyInvalid."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    data = _read(path)
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyInvalid(f"{path}: {_why(data, 'public')}") from None
    return _verifier(key, path)


def generate() -> Signer:
    """A new ECDSA P-256 key."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return _signer(ec.generate_private_key(ec.SECP256R1()), Path("new key"))


def pem(signer: Signer, password: bytes) -> bytes:
    """PKCS #8, encrypted if there is a password."""
    from cryptography.hazmat.primitives import serialization as s

    how: s.KeySerializationEncryption = s.BestAvailableEncryption(password) if password else s.NoEncryption()
    return signer.key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, how)


def _signer(key: object, path: Path) -> Signer:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if not isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise KeyInvalid(f"{path} is a key of another kind; {_KINDS}")
    return Signer(key, _verifier(key.public_key(), path))


def _verifier(key: object, path: Path) -> Verifier:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ec.EllipticCurvePublicKey) and not isinstance(key.curve, ec.SECP256R1):
        raise KeyInvalid(f"{path} is a key on the curve {key.curve.name}; {_KINDS}")
    if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        raise KeyInvalid(f"{path} is a key of another kind; {_KINDS}")
    der = key.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
    return Verifier(key, base64.b64encode(hashlib.sha256(der).digest()).decode())


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError as error:
        raise KeyInvalid(f"{path}: {error.strerror}") from None


def _why(data: bytes, wanted: str) -> str:
    if b"PRIVATE KEY" in data and wanted == "public":
        return "that is a private key; give the public one, and keep this one to yourself"
    if b"PUBLIC KEY" in data and wanted == "private":
        return "that is a public key; to sign, give the private one"
    return f"that is no {wanted} key in PEM form"


def _used() -> str:
    return next((name for name in PASSWORDS if name in os.environ), PASSWORDS[0])
