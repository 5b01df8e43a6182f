"""NATS's keys: Ed25519 in the server's own spelling (base32 with a letter for the role and a checksum), made and read. Pure.

nats-py takes a package of its own for this; `cryptography` is here anyway.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SEED = 18 << 3  # what it is read as: S
ROLES = {"operator": 14 << 3, "account": 0, "user": 20 << 3}  # O, A, U
_BLOCK = re.compile(r"-{3,}BEGIN (NATS USER JWT|USER NKEY SEED)-{3,}\s+(\S+)\s+-{3,}END")


class NkeyError(ValueError):
    """What was given is no seed, or no .creds file. Never says what it was."""


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


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a user is to a server: its key, and the JWT that goes with it if there is one."""

    key: Key
    jwt: str = field(default="", repr=False)

    @property
    def public(self) -> str:
        return self.key.public

    def sign(self, nonce: str) -> bytes:
        """What the server asks to be signed, as CONNECT carries it."""
        return base64.b64encode(self.key.sign(nonce.encode()))


def from_seed(text: str) -> Identity:
    """From a user's seed, `SU...`. Raises `NkeyError`."""
    try:
        raw = base64.b32decode(text.strip() + "=" * (-len(text.strip()) % 8))
    except (binascii.Error, ValueError):
        raise NkeyError("is no nkey seed: it begins with SU and has 58 characters") from None
    whole = len(raw) == 36 and raw[0] & 0xF8 == _SEED and ((raw[0] & 7) << 5 | raw[1] >> 3) == ROLES["user"]
    if not whole or _checksum(raw[:-2]) != raw[-2:]:
        raise NkeyError("is no seed of a user's nkey: it begins with SU and has 58 characters")
    return Identity(Key("user", raw[2:-2]))


def from_credentials(text: str) -> Identity:
    """From a .creds file. Raises `NkeyError`."""
    blocks = dict(_BLOCK.findall(text))
    if len(blocks) != 2:
        raise NkeyError("is no .creds file: it has a NATS USER JWT and a USER NKEY SEED")
    return Identity(from_seed(blocks["USER NKEY SEED"]).key, blocks["NATS USER JWT"])


def _text(raw: bytes) -> str:
    return base64.b32encode(raw + _checksum(raw)).decode().rstrip("=")


def _checksum(data: bytes) -> bytes:
    """CRC-16/XMODEM."""
    return binascii.crc_hqx(data, 0).to_bytes(2, "little")
