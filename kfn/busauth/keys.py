"""Every key of one platform, derived from one secret: whoever has that can make them all, and nothing else need be kept.

The operator signs accounts; the system account is told what the server does, and changes accounts; the platform's account has
the streams; each namespace has an account, and each role in it a key.
"""

import hmac
from dataclasses import dataclass, field

from kfn.busauth.nkey import Key

SHORTEST = 32  # bytes of the secret


class SecretTooShort(ValueError):
    """The secret that NATS's keys are derived from has fewer than 32 bytes."""


@dataclass(frozen=True, slots=True)
class Keys:
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < SHORTEST:
            raise SecretTooShort(f"the secret that NATS's keys are derived from has {len(self.secret)} bytes; {SHORTEST} are needed")

    @property
    def operator(self) -> Key:
        return self._key("operator", "operator")

    @property
    def system(self) -> Key:
        return self._key("account", "system")

    @property
    def platform(self) -> Key:
        return self._key("account", "platform")

    def namespace(self, namespace: str) -> Key:
        return self._key("account", "namespace", namespace)

    def role(self, namespace: str, role: str) -> Key:
        return self._key("account", "role", namespace, role)

    def user(self, *names: str) -> Key:
        return self._key("user", "user", *names)

    @property
    def authority(self) -> bytes:
        """What the key of the authority is made from that signs the server's certificate."""
        return self._key("user", "authority").secret

    def _key(self, role: str, *names: str) -> Key:
        """HMAC is a pseudo-random function: no key tells anything of another. Lengths keep `a, bc` and `ab, c` apart."""
        purpose = b"kfn nats key" + b"".join(len(name.encode()).to_bytes(4, "big") + name.encode() for name in (role, *names))
        return Key(role, hmac.digest(self.secret, purpose, "sha256"))
