"""Read OpenPGP: armor, packets, keys and signatures of version 4, as far as Debian's archives use them. Checks no signature. Pure."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

SIGNATURE, PUBLIC_KEY, PUBLIC_SUBKEY, USER_ID, USER_ATTRIBUTE = 2, 6, 14, 13, 17
RSA, RSA_SIGN_ONLY, EDDSA, ED25519 = 1, 3, 22, 27
HASHES = {8: "sha256", 9: "sha384", 10: "sha512"}  # no others: MD5 and SHA-1 prove nothing
_OID_ED25519 = bytes.fromhex("2b06010401da470f01")
_ARMOR = re.compile(r"-----BEGIN PGP ([A-Z ]+)-----\n((?:[A-Za-z]+: [^\n]*\n)*)[ \t]*\n([A-Za-z0-9+/=\n]+?)-----END PGP \1-----[ \t]*\n?")


class Malformed(ValueError):
    """Data that is not the OpenPGP that it should be."""


@dataclass(frozen=True, slots=True)
class Signature:
    """`hashed` is the part of the packet that is signed together with the text."""

    kind: int
    algorithm: int
    hash: str
    hashed: bytes
    start: bytes  # the first two bytes of the hash
    numbers: tuple[bytes, ...]  # RSA: one; EdDSA: R and S
    created: int
    lifetime: int = 0  # seconds; 0: for ever
    key_lifetime: int = 0
    issuers: frozenset[str] = frozenset()  # key IDs and fingerprints, in hex
    flags: int = -1  # what the key may be used for; -1: not said
    embedded: "Signature | None" = None
    strange: bool = False  # it depends on something critical that is not known here


@dataclass(frozen=True, slots=True)
class Key:
    """A public key. `body` is its packet's content, which its own signatures sign."""

    body: bytes
    created: int
    algorithm: int
    numbers: tuple[bytes, ...]  # RSA: n, e; Ed25519: the point
    fingerprint: str

    @property
    def key_id(self) -> str:
        return self.fingerprint[-16:]


@dataclass(slots=True)
class Certificate:
    """A primary key with all that follows it. Each of `users` and `subkeys` has the signatures that stand behind it."""

    primary: Key
    direct: list[Signature] = field(default_factory=list)
    users: list[tuple[bytes, list[Signature]]] = field(default_factory=list)
    subkeys: list[tuple[Key, list[Signature]]] = field(default_factory=list)


def dearmored(text: str) -> tuple[str, bytes, str]:
    """Kind (`SIGNATURE`), data and what follows of the armor that `text` begins with. Raises Malformed."""
    match = _ARMOR.match(text)
    if match is None:
        raise Malformed("the armor is damaged")
    lines = match[3].rstrip("\n").split("\n")
    check = lines.pop()[1:] if lines and lines[-1].startswith("=") else ""
    try:
        data = base64.b64decode("".join(lines), validate=True)
        said = base64.b64decode(check, validate=True)
    except binascii.Error as error:
        raise Malformed(f"the armor is damaged ({error})") from None
    if base64.b64encode(data).decode() != "".join(lines) or (check and said != _crc24(data)):
        raise Malformed("the armor's checksum is wrong")
    return match[1], data, text[match.end() :]


def _crc24(data: bytes) -> bytes:
    crc = 0xB704CE
    for byte in data:
        crc = (crc << 8) & 0xFFFFFF ^ _CRC[(crc >> 16) ^ byte]
    return crc.to_bytes(3)


def _crc_row(byte: int) -> int:
    crc = byte << 16
    for _ in range(8):
        crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc & 0xFFFFFF


_CRC = tuple(map(_crc_row, range(256)))


def packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each packet. Raises Malformed."""
    at = 0
    while at < len(data):
        tag, at = data[at], at + 1
        if not tag & 0x80:
            raise Malformed("what should be an OpenPGP packet is none")
        if tag & 0x40:
            size, at = _new_length(data, at)
            kind = tag & 0x3F
        else:
            width = 1 << (tag & 3)
            if width == 8:
                raise Malformed("a packet has no length")
            size, at, kind = int.from_bytes(_take(data, at, width)), at + width, (tag >> 2) & 0xF
        yield kind, _take(data, at, size)
        at += size


def _new_length(data: bytes, at: int, *, partial: bool = True) -> tuple[int, int]:
    """A length of one, two or five bytes, and where what it measures begins. 224 to 254 mean parts in packets, not in subpackets."""
    first = _take(data, at, 1)[0]
    if first < 192:
        return first, at + 1
    if first < 255:
        if partial and first >= 224:
            raise Malformed("a packet comes in parts")
        return ((first - 192) << 8) + _take(data, at + 1, 1)[0] + 192, at + 2
    return int.from_bytes(_take(data, at + 1, 4)), at + 5


def _take(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise Malformed("an OpenPGP packet is cut off")
    return data[at : at + size]


def _mpis(data: bytes, count: int) -> tuple[tuple[bytes, ...], int]:
    found, at = [], 0
    for _ in range(count):
        bits = int.from_bytes(_take(data, at, 2))
        size = (bits + 7) // 8
        found.append(_take(data, at + 2, size))
        if int.from_bytes(found[-1]).bit_length() != bits:
            raise Malformed("a number does not have the length that it says")
        at += 2 + size
    return tuple(found), at


def key(body: bytes) -> Key | None:
    """None for a key of another version or algorithm."""
    if _take(body, 0, 6)[0] != 4:
        return None
    created, algorithm, rest = int.from_bytes(body[1:5]), body[5], body[6:]
    if algorithm in (RSA, RSA_SIGN_ONLY):
        numbers, _ = _mpis(rest, 2)
    elif algorithm == EDDSA and rest[:1] == bytes([len(_OID_ED25519)]) and rest[1:10] == _OID_ED25519:
        (point,), _ = _mpis(rest[10:], 1)
        numbers = (point[1:],)
        if len(point) != 33 or point[0] != 0x40:
            raise Malformed("an Ed25519 key is damaged")
    elif algorithm == ED25519:
        numbers = (_take(rest, 0, 32),)
    else:
        return None
    framed = b"\x99" + len(body).to_bytes(2) + body
    return Key(body, created, algorithm, numbers, hashlib.sha1(framed, usedforsecurity=False).hexdigest())


def signature(body: bytes) -> Signature | None:
    """None for one of another version, algorithm or hash."""
    version, kind, algorithm, hash_number = _take(body, 0, 4)
    if version != 4 or hash_number not in HASHES or algorithm not in (RSA, RSA_SIGN_ONLY, EDDSA, ED25519):
        return None
    size = int.from_bytes(_take(body, 4, 2))
    hashed, at = _take(body, 0, 6 + size), 6 + size
    other = int.from_bytes(_take(body, at, 2))
    unhashed, at = _take(body, at + 2, other), at + 2 + other
    start, rest = _take(body, at, 2), body[at + 2 :]
    if algorithm == ED25519:
        numbers: tuple[bytes, ...] = (_take(rest, 0, 32), _take(rest, 32, 32))
        used = 64
    else:
        numbers, used = _mpis(rest, 2 if algorithm == EDDSA else 1)
    if used != len(rest):
        raise Malformed("a signature is longer than it should be")
    facts = _facts(hashed[6:])
    issuers = facts.issuers | _facts(unhashed).issuers  # only a hint which key to try
    embedded = facts.embedded or _facts(unhashed).embedded  # proves itself
    strange = facts.strange or facts.created is None
    return Signature(
        kind, algorithm, HASHES[hash_number], hashed, start, numbers, facts.created or 0, facts.lifetime, facts.key_lifetime,
        frozenset(issuers), facts.flags, signature(embedded) if embedded else None, strange,
    )  # fmt: skip


@dataclass(slots=True)
class _Facts:
    created: int | None = None
    lifetime: int = 0
    key_lifetime: int = 0
    issuers: set[str] = field(default_factory=set)
    flags: int = -1
    embedded: bytes = b""
    strange: bool = False


def _facts(data: bytes) -> _Facts:
    facts, at = _Facts(), 0
    while at < len(data):
        size, at = _new_length(data, at, partial=False)
        content = _take(data, at, size)
        at += size
        kind, value = (content[0], content[1:]) if content else (0, b"")
        match kind & 0x7F:
            case 2:
                facts.created = int.from_bytes(value)
            case 3:
                facts.lifetime = int.from_bytes(value)
            case 9:
                facts.key_lifetime = int.from_bytes(value)
            case 16:
                facts.issuers.add(value.hex())
            case 33:
                facts.issuers.add(value[1:].hex())
            case 27:
                facts.flags = value[0] if value else 0
            case 32:
                facts.embedded = value
            case 5 | 6 | 7 | 11 | 20 | 21 | 22 | 23 | 25 | 26 | 28 | 29 | 30 | 31 | 34:
                pass  # preferences, reasons and notes, which change nothing about what is signed
            case _:
                facts.strange = facts.strange or kind >= 0x80
    return facts


def certificates(data: bytes) -> list[Certificate]:
    """The keys of a keyring, armored or not. Keys that are of no use here are left out."""
    if data.lstrip()[:11] == b"-----BEGIN ":
        data = _armored_keys(data)
    found: list[Certificate] = []
    behind: list[Signature] | None = None  # where the signatures that come belong
    for kind, body in packets(data):
        if kind == PUBLIC_KEY:
            primary = key(body)
            behind = None
            if primary:
                found.append(Certificate(primary))
                behind = found[-1].direct
            ours = primary is not None
        elif not found or not ours:
            continue
        elif kind in (USER_ID, USER_ATTRIBUTE):
            behind = []
            if kind == USER_ID:
                found[-1].users.append((body, behind))
        elif kind == PUBLIC_SUBKEY:
            behind, sub = [], key(body)
            if sub:
                found[-1].subkeys.append((sub, behind))
        elif kind == SIGNATURE and behind is not None and (one := signature(body)):
            behind.append(one)
    return found


def _armored_keys(data: bytes) -> bytes:
    text, joined = data.decode("ascii", "replace").replace("\r\n", "\n").lstrip(), b""
    while text.strip():
        kind, part, text = dearmored(text)
        if kind != "PUBLIC KEY BLOCK":
            raise Malformed(f"a {kind.lower()} is no key")
        joined, text = joined + part, text.lstrip()
    return joined
