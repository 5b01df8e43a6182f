"""Whether a Release file is signed by a key that is trusted. Gives the signed text and nothing else: what stands around it does not count.

One good signature is enough, as for apt: Debian signs with its old and its new key. Which keys are trusted is up to `keyring.py`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from builder.debian import openpgp
from builder.debian.openpgp import EDDSA, RSA, RSA_SIGN_ONLY, Certificate, Key, Malformed, Signature

SKEW = 3600  # seconds that a signature may lie in the future: clocks of laptops are wrong
_BEGIN, _END = "-----BEGIN PGP SIGNED MESSAGE-----", "-----BEGIN PGP SIGNATURE-----"
_HASH = re.compile(r"Hash: (?:SHA(?:256|384|512))(?:, ?SHA(?:256|384|512))*")
_MOST = 20_000_000  # bytes of a signed text
_MOST_SIGNATURES = 16  # each costs a check
_BINARY, _TEXT = 0x00, 0x01
_CERTIFICATION, _DIRECT, _KEY_REVOKED, _BOUND, _BACK, _SUBKEY_REVOKED, _USER_REVOKED = (
    (0x10, 0x11, 0x12, 0x13),
    0x1F,
    0x20,
    0x18,
    0x19,
    0x28,
    0x30,
)
_MAY_SIGN = 0x02


class Untrusted(ValueError):
    """Why a signature, or a text, is not to be trusted."""


@dataclass(frozen=True, slots=True)
class Signed:
    """`text` is what the signature covers. `by` is the fingerprint of the primary key."""

    text: str
    by: str


def inline(data: bytes, trusted: Sequence[Certificate], now: float) -> Signed:
    """Verify an InRelease file. `now` is in seconds since 1970. Raises Untrusted."""
    text, armor = _split(_decoded(data))
    canonical = "\r\n".join(line.rstrip(" \t\r") for line in text).encode()
    by = _verify(canonical, _signatures(armor), _TEXT, trusted, now)
    return Signed("\n".join(line.rstrip(" \t\r") for line in text) + "\n", by)


def detached(data: bytes, armor: bytes, trusted: Sequence[Certificate], now: float) -> Signed:
    """Verify a Release file by its Release.gpg. Raises Untrusted."""
    by = _verify(data, _signatures(_decoded(armor)), _BINARY, trusted, now)
    return Signed(_decoded(data), by)


def _decoded(data: bytes) -> str:
    if len(data) > _MOST:
        raise Untrusted(f"it has {len(data)} bytes, which is more than any Release file")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Untrusted("it is not text") from None


def _split(message: str) -> tuple[list[str], str]:
    """The lines of the signed text without their dashes, and the armored signatures. Nothing may stand before, between or behind."""
    lines = message.split("\n")
    if lines[0].rstrip(" \t\r") != _BEGIN:
        raise Untrusted("it does not begin with a signed message" + ("" if _BEGIN in message else "; it is not signed"))
    at = 1
    while at < len(lines) and lines[at].rstrip(" \t\r"):
        if not _HASH.fullmatch(lines[at].rstrip(" \t\r")):
            raise Untrusted(f"its header {lines[at][:60]!r} does not belong there")
        at += 1
    text: list[str] = []
    for number, line in enumerate(lines[at + 1 :], at + 1):
        if line.rstrip(" \t\r") == _END:
            return text, "\n".join(one.rstrip("\r") for one in lines[number:])
        if line.startswith("-") and not line.startswith("- "):
            raise Untrusted(f"the line {line[:60]!r} begins with a dash that is not escaped")
        text.append(line.removeprefix("- "))
    raise Untrusted("it is cut off: there is no signature behind the text")


def _signatures(armor: str) -> list[Signature]:
    try:
        kind, data, rest = openpgp.dearmored(armor)
        if kind != "SIGNATURE":
            raise Untrusted(f"a {kind.lower()} stands where the signature should be")
        if rest.strip():
            raise Untrusted("something stands behind the signature")
        bodies = list(openpgp.packets(data))
        if any(tag != openpgp.SIGNATURE for tag, _ in bodies) or not 1 <= len(bodies) <= _MOST_SIGNATURES:
            raise Untrusted("it does not hold signatures alone")
        found = [one for _, body in bodies if (one := openpgp.signature(body))]
    except Malformed as error:
        raise Untrusted(str(error)) from None
    if not found:
        raise Untrusted("its signatures are of kinds that are not accepted: RSA or Ed25519 with SHA-256 or better is needed")
    return found


def _verify(data: bytes, signatures: Sequence[Signature], kind: int, trusted: Sequence[Certificate], now: float) -> str:
    reasons = []
    for signature in signatures:
        try:
            return _by(signature, data, kind, trusted, now)
        except Untrusted as error:
            reasons.append(str(error))
    raise Untrusted("; ".join(dict.fromkeys(reasons)))


def _by(signature: Signature, data: bytes, kind: int, trusted: Sequence[Certificate], now: float) -> str:
    if signature.kind != kind or signature.strange:
        raise Untrusted("a signature is not of the kind that a Release file has")
    names = ", ".join(sorted(one[-16:].upper() for one in signature.issuers)) or "without a name"
    reasons = []
    for certificate in trusted:
        for key in (certificate.primary, *(sub for sub, _ in certificate.subkeys)):
            if signature.issuers & {key.fingerprint, key.key_id}:
                try:
                    _check_time(signature, now)
                    check_key(certificate, key, now)
                    if signature.created < key.created or not good(key, signature, data):
                        raise Untrusted(f"the signature by {key.key_id.upper()} does not fit the text: it was changed")
                    return certificate.primary.fingerprint
                except Untrusted as error:
                    reasons.append(str(error))
    raise Untrusted("; ".join(reasons) or f"signed by the key {names}, which is not trusted")


def _check_time(signature: Signature, now: float) -> None:
    if signature.created > now + SKEW:
        ahead = (signature.created - now) / 3600
        raise Untrusted(f"the signature was made {ahead:.1f} hours in the future: is this machine's clock right?")
    if signature.lifetime and signature.created + signature.lifetime <= now:
        raise Untrusted("the signature has expired")


def check_key(certificate: Certificate, key: Key, now: float) -> None:
    """Whether `key`, the primary one or a subkey, may sign now by what the primary key itself says. Raises Untrusted."""
    primary, name = certificate.primary, key.key_id.upper()
    if any(s.kind == _KEY_REVOKED and good(primary, s, _framed(primary)) for s in certificate.direct):
        raise Untrusted(f"the key {primary.key_id.upper()} was revoked")
    own = [s for s in certificate.direct if s.kind == _DIRECT and good(primary, s, _framed(primary))]
    for user, behind in certificate.users:
        signed = _framed(primary) + b"\xb4" + len(user).to_bytes(4) + user
        ours = [s for s in behind if (s.kind in _CERTIFICATION or s.kind == _USER_REVOKED) and good(primary, s, signed)]
        latest = max(ours, key=lambda s: s.created, default=None)
        own += [latest] if latest and latest.kind != _USER_REVOKED else []
    _in_force(primary, own, now, signs=key is primary)
    if key is primary:
        return
    signed = _framed(primary) + _framed(key)
    behind = next(signatures for sub, signatures in certificate.subkeys if sub is key)
    if any(s.kind == _SUBKEY_REVOKED and good(primary, s, signed) for s in behind):
        raise Untrusted(f"the key {name} was revoked")
    bound = [s for s in behind if s.kind == _BOUND and good(primary, s, signed)]
    bound = [s for s in bound if s.embedded and s.embedded.kind == _BACK and good(key, s.embedded, signed)]  # else it could be anybody's
    _in_force(key, bound, now, signs=True)


def _in_force(key: Key, own: Sequence[Signature], now: float, *, signs: bool) -> None:
    """`own` are the good signatures that say how long `key` may do what. The newest one counts."""
    name = key.key_id.upper()
    says = max((s for s in own if not s.strange and s.created <= now + SKEW), key=lambda s: s.created, default=None)
    if says is None:
        raise Untrusted(f"the key {name} is not confirmed by itself")
    if says.lifetime and says.created + says.lifetime <= now:
        raise Untrusted(f"what confirms the key {name} has expired")
    if says.key_lifetime and key.created + says.key_lifetime <= now:
        raise Untrusted(f"the key {name} has expired: newer keys come with a newer kfn, or by KFN_DEBIAN_KEYRING")
    if signs and says.flags != -1 and not says.flags & _MAY_SIGN:
        raise Untrusted(f"the key {name} is not for signing")


def _framed(key: Key) -> bytes:
    return b"\x99" + len(key.body).to_bytes(2) + key.body


def good(key: Key, signature: Signature, data: bytes) -> bool:
    """Whether `key` made `signature` over `data`. The mathematics alone: nothing about time or trust."""
    import hashlib

    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa, utils

    trailer = signature.hashed + b"\x04\xff" + len(signature.hashed).to_bytes(4)
    digest = hashlib.new(signature.hash, data + trailer).digest()
    if digest[:2] != signature.start or (key.algorithm in (RSA, RSA_SIGN_ONLY)) != (signature.algorithm in (RSA, RSA_SIGN_ONLY)):
        return False
    try:
        if key.algorithm in (RSA, RSA_SIGN_ONLY):
            n, e = (int.from_bytes(number) for number in key.numbers)
            if n.bit_length() < 2048:
                return False
            algorithm = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}[signature.hash]
            public = rsa.RSAPublicNumbers(e, n).public_key()
            public.verify(signature.numbers[0].rjust(len(key.numbers[0]), b"\0"), digest, padding.PKCS1v15(), utils.Prehashed(algorithm))
        else:
            if (key.algorithm == EDDSA) != (signature.algorithm == EDDSA) or len(signature.numbers) != 2:
                return False
            both = b"".join(number.rjust(32, b"\0") for number in signature.numbers)
            ed25519.Ed25519PublicKey.from_public_bytes(key.numbers[0]).verify(both, digest)
    except (InvalidSignature, ValueError):
        return False
    return True
