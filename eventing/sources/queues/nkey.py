"""Who we are to a NATS server by an nkey: a seed's public key, and the signature of what the server asks to be signed. Pure.

nats-py takes a package of its own for this; `cryptography` is here anyway.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_SEED, _USER = 18 << 3, 20 << 3  # the first letters S and U
_BLOCK = re.compile(r"-{3,}BEGIN (NATS USER JWT|USER NKEY SEED)-{3,}\s+(\S+)\s+-{3,}END")


class NkeyError(ValueError):
    """What was given is no seed, or no .creds file. Never says what it was."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user's key, and the JWT that goes with it if there is one."""

    public: str
    key: Ed25519PrivateKey = field(repr=False)
    jwt: str = field(default="", repr=False)

    def sign(self, nonce: str) -> bytes:
        """As CONNECT carries it."""
        return base64.b64encode(self.key.sign(nonce.encode()))


def from_seed(text: str) -> Identity:
    """From a user's seed, `SU...`. Raises `NkeyError`."""
    try:
        raw = base64.b32decode(text.strip() + "=" * (-len(text.strip()) % 8))
    except (binascii.Error, ValueError):
        raise NkeyError("is no nkey seed: it begins with SU and has 58 characters") from None
    whole = len(raw) == 36 and raw[0] & 0xF8 == _SEED and ((raw[0] & 7) << 5 | raw[1] >> 3) == _USER
    if not whole or _crc(raw[:-2]) != int.from_bytes(raw[-2:], "little"):
        raise NkeyError("is no seed of a user's nkey: it begins with SU and has 58 characters")
    key = Ed25519PrivateKey.from_private_bytes(raw[2:-2])
    head = bytes([_USER]) + key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return Identity(base64.b32encode(head + _crc(head).to_bytes(2, "little")).decode().rstrip("="), key)


def from_credentials(text: str) -> Identity:
    """From a .creds file. Raises `NkeyError`."""
    blocks = dict(_BLOCK.findall(text))
    if len(blocks) != 2:
        raise NkeyError("is no .creds file: it has a NATS USER JWT and a USER NKEY SEED")
    one = from_seed(blocks["USER NKEY SEED"])
    return Identity(one.public, one.key, blocks["NATS USER JWT"])


def _crc(data: bytes) -> int:
    return binascii.crc_hqx(data, 0)  # CRC-16/XMODEM
