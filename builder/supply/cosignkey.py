"""Read a private key that `cosign generate-key-pair` wrote: scrypt for the password, NaCl's secretbox around a PKCS #8 key. Pure.

Only reading: XSalsa20 is in no library that kfn has, and a key is 200 bytes, so a few lines of it are enough. Poly1305 and scrypt are
OpenSSL's. Specifications: Bernstein's "Extending the Salsa20 nonce" and the NaCl documentation of crypto_secretbox.
"""

import hashlib
import struct

from builder.supply.dsse import Malformed, loads, unbase64

# What cosign has ever written; others are refused, for they would let a file cost any amount of memory.
_COSTS = ((32768, 8, 1), (65536, 8, 1), (131072, 8, 1))
_SIGMA = struct.unpack("<4I", b"expand 32-byte k")
_ROUNDS = (
    (0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
    (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14),
)  # fmt: skip


class WrongPassword(Malformed):
    """The password does not open the key."""


def decrypt(body: bytes, password: bytes) -> bytes:
    """The PKCS #8 DER in the body of a PEM block `ENCRYPTED SIGSTORE PRIVATE KEY`. Raises Malformed or WrongPassword."""
    content = loads(body, "the key")
    try:
        kdf, cipher = content["kdf"], content["cipher"]
        names = (kdf["name"], cipher["name"])
        cost = (kdf["params"]["N"], kdf["params"]["r"], kdf["params"]["p"])
        salt, nonce = unbase64(kdf["salt"], "the key's salt"), unbase64(cipher["nonce"], "the key's nonce")
        box = unbase64(content["ciphertext"], "the key's ciphertext")
    except (KeyError, TypeError):
        raise Malformed("the key lacks one of kdf, cipher and ciphertext") from None
    if names != ("scrypt", "nacl/secretbox"):
        raise Malformed(f"the key is encrypted by {' and '.join(map(str, names))}; only scrypt and nacl/secretbox are known")
    if cost not in _COSTS:
        raise Malformed(f"the key's scrypt parameters {cost} are none that cosign uses")
    n, r, p = cost
    key = hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=256 * n * r, dklen=32)
    return open_box(box, nonce, key)


def open_box(box: bytes, nonce: bytes, key: bytes) -> bytes:
    """NaCl's crypto_secretbox_open: a Poly1305 tag of 16 bytes, then the text. Raises WrongPassword if the tag is not right."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    if len(nonce) != 24 or len(box) < 16:
        raise Malformed("the key's nonce or ciphertext has a wrong length")
    stream = _stream(key, nonce, len(box) + 16)
    try:
        Poly1305.verify_tag(stream[:32], box[16:], box[:16])
    except InvalidSignature:
        raise WrongPassword("the password does not open the key") from None
    return bytes(a ^ b for a, b in zip(box[16:], stream[32:], strict=False))


def _stream(key: bytes, nonce: bytes, size: int) -> bytes:
    """XSalsa20's key stream: a key for this nonce's first 16 bytes (HSalsa20), then Salsa20 with the other 8."""
    first = _double_rounds(_state(key, nonce[:16]))
    inner = struct.pack("<8I", *(first[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)))
    made = bytearray()
    for block in range((size + 63) // 64):
        state = _state(inner, nonce[16:] + struct.pack("<Q", block))
        mixed = _double_rounds(state)
        made += struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(state, mixed, strict=True)))
    return bytes(made)


def _state(key: bytes, middle: bytes) -> list[int]:
    k, m = struct.unpack("<8I", key), struct.unpack("<4I", middle)
    return [_SIGMA[0], *k[:4], _SIGMA[1], *m, _SIGMA[2], *k[4:], _SIGMA[3]]


def _double_rounds(state: list[int]) -> list[int]:
    x = list(state)
    for _ in range(10):
        for a, b, c, d in _ROUNDS:
            x[b] ^= _turned(x[a] + x[d], 7)
            x[c] ^= _turned(x[b] + x[a], 9)
            x[d] ^= _turned(x[c] + x[b], 13)
            x[a] ^= _turned(x[d] + x[c], 18)
    return x


def _turned(word: int, by: int) -> int:
    word &= 0xFFFFFFFF
    return (word << by | word >> (32 - by)) & 0xFFFFFFFF
