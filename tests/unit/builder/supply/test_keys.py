"""Keys come from files that people have: cosign's, OpenSSL's, with and without passwords. What cannot be used is named, never shown."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils

from builder.errors import KeyInvalid
from builder.supply import keys
from builder.supply.cosignkey import WrongPassword, decrypt, open_box
from builder.supply.dsse import Malformed

# Made by cosign 3.1.3 for this test, with the password below; it signs nothing else.
COSIGN = """\
-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJKNE9hNTM5SDFBcS9aL1VZaC9vVTZZQW1CNHlQT3Z4
ekR0TUFlYTNkNUVRPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJRQ2RPQ29mVFBmSEpCU3Z6NmtmaEp6YmdhajMxT011aCJ9LCJj
aXBoZXJ0ZXh0IjoiMVUvNFZVelZKeEZXaExMalcvdjRMc3JmNGFXNmNjRlZvVGNW
NFVZbEJ6c2dPaFRJZjBGaFM0UmZEZHdBWnFvOVNlSWdsbXlMdyt3dy9COXVWSVg4
YnJ2TTN1Z1NBem9qUXNGenZLQ2Q5RFlxUnlQeXhpdm5yMy9DUGVDbEFhOUE0S1px
ZmdTSDlzSmZtYlNrekJybnVKSnRoanlYOEg5REFnTG1VRW40YS9YQWw5NmZ6ZjUy
N1pQTXEzQ21uYVFqc3AwN0kwZEFKRWhXOEE9PSJ9
-----END ENCRYPTED SIGSTORE PRIVATE KEY-----
"""
COSIGN_PUBLIC = """\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEVwqr4cr015R6+ID7zBr0rAmOQ3/B
P2KtyUdADl/8j9xswMbKK2sZZl0ROzjk+xM6nOeBF+nanmp3ObxF7KYapw==
-----END PUBLIC KEY-----
"""
PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def no_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in keys.PASSWORDS:
        monkeypatch.delenv(name, raising=False)


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def pkcs8(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    how: s.KeySerializationEncryption = s.BestAvailableEncryption(password) if password else s.NoEncryption()
    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, how)


class TestAKeyOfCosign:
    @pytest.mark.parametrize("name", keys.PASSWORDS)
    def test_is_opened_by_its_password_and_signs_for_its_public_key(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, PASSWORD)
        signer = keys.private(written(tmp_path / "c.key", COSIGN))
        public = keys.public(written(tmp_path / "c.pub", COSIGN_PUBLIC))
        assert signer.verifier.hint == public.hint
        assert public.good(b"text", signer.sign(b"text"))
        assert not public.good(b"texT", signer.sign(b"text"))

    def test_is_refused_without_or_with_another_password(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = written(tmp_path / "c.key", COSIGN)
        with pytest.raises(KeyInvalid, match="its password comes from KFN_SIGN_PASSWORD"):
            keys.private(path)
        monkeypatch.setenv("COSIGN_PASSWORD", "secret guess")
        with pytest.raises(KeyInvalid, match="the password in COSIGN_PASSWORD does not open it") as caught:
            keys.private(path)
        assert "secret guess" not in str(caught.value)

    def test_that_asks_for_a_gigabyte_of_memory_is_refused(self) -> None:
        kdf = {"name": "scrypt", "params": {"N": 1 << 30, "r": 8, "p": 1}, "salt": "AA=="}
        cipher = {"name": "nacl/secretbox", "nonce": "AA=="}
        body = json.dumps({"kdf": kdf, "cipher": cipher, "ciphertext": "AA=="}).encode()
        with pytest.raises(Malformed, match="none that cosign uses"):
            decrypt(body, b"")

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"kdf":1,"cipher":2,"ciphertext":3}', b"\xff"], ids=repr)
    def test_that_is_no_key_is_refused(self, body: bytes) -> None:
        with pytest.raises(Malformed):
            decrypt(body, b"")

    def test_secretbox_opens_what_nacl_published(self) -> None:
        """The test vector of NaCl's tests/secretbox.c."""
        key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
        nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
        text = bytes.fromhex(
            "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce"
            "314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040"
            "e082f937763848645e0705"
        )
        box = bytes.fromhex(
            "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011"
            "ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de"
            "56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5"
        )
        assert open_box(box, nonce, key) == text
        with pytest.raises(WrongPassword):
            open_box(bytes([box[0] ^ 1]) + box[1:], nonce, key)


class TestAKeyOfOthers:
    @pytest.mark.parametrize("kind", ["ecdsa", "ed25519"])
    @pytest.mark.parametrize("password", ["", "pass"], ids=["plain", "encrypted"])
    def test_signs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, password: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1()) if kind == "ecdsa" else ed25519.Ed25519PrivateKey.generate()
        path = written(tmp_path / "k", pkcs8(key, password.encode()))
        if password:
            monkeypatch.setenv("KFN_SIGN_PASSWORD", password)
        signer = keys.private(path)
        public = keys.public(written(tmp_path / "p", signer.verifier.pem))
        assert public.good(b"text", signer.sign(b"text"))
        assert public.hint == signer.verifier.hint

    def test_signs_the_same_each_time_with_the_smaller_of_two_numbers(self, tmp_path: Path) -> None:
        signer = keys.generate()
        for number in range(20):
            made = signer.sign(b"%d" % number)
            assert made == signer.sign(b"%d" % number)
            assert utils.decode_dss_signature(made)[1] <= keys._ORDER // 2

    def test_of_another_kind_or_size_is_refused_by_name(self, tmp_path: Path) -> None:
        curve = ec.generate_private_key(ec.SECP384R1())
        with pytest.raises(KeyInvalid, match="on the curve secp384r1"):
            keys.private(written(tmp_path / "a", pkcs8(curve)))
        with pytest.raises(KeyInvalid, match="another kind; kfn signs with ECDSA P-256 and Ed25519"):
            keys.private(written(tmp_path / "b", pkcs8(rsa.generate_private_key(65537, 2048))))

    def test_the_wrong_way_round_is_told_apart(self, tmp_path: Path) -> None:
        signer = keys.generate()
        private, public = written(tmp_path / "a", keys.pem(signer, b"")), written(tmp_path / "b", signer.verifier.pem)
        with pytest.raises(KeyInvalid, match="a private key; give the public one"):
            keys.public(private)
        with pytest.raises(KeyInvalid, match="a public key; to sign, give the private one"):
            keys.private(public)

    @pytest.mark.parametrize("text", ["", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "\0" * 99], ids=repr)
    def test_that_is_none_is_refused(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(KeyInvalid, match="no private key in PEM form"):
            keys.private(written(tmp_path / "k", text))

    def test_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(KeyInvalid, match="nothing: No such file"):
            keys.public(tmp_path / "nothing")
