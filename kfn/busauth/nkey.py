"""NATS's keys: Ed25519 in the server's own spelling (base32 with a letter for the role and a checksum). Nothing is stored here."""

import base64
import binascii
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SEED = 18 << 3  # what it is read as: S
ROLES = {"operator": 14 << 3, "account": 0, "user": 20 << 3}  # O, A, U


@dataclass(frozen=True, slots=True)
class Key:
    """`secret` is 32 bytes. The text of a key does not show it."""

    role: str
    secret: bytes = field(repr=False)

    @property
    def public(self) -> str:
        return _text(bytes([ROLES[self.role]]) + self._private.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """What its holder keeps."""
        prefix = ROLES[self.role]
        return _text(bytes([_SEED | prefix >> 5, (prefix & 31) << 3]) + self.secret)

    def sign(self, what: bytes) -> bytes:
        return self._private.sign(what)

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secret)


def _text(raw: bytes) -> str:
    checked = raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")
