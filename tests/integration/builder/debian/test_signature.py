"""Our OpenPGP beside the real gpgv: on the same bytes both say yes, and where gpgv says no, we do."""

import base64
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from builder.debian.keyring import trusted
from builder.debian.openpgp import Certificate, certificates, packets
from builder.debian.signature import Untrusted, detached, inline
from kfn.clock import utcnow
from tests.fakes.debian_archive import Gpg, gpg_home, missing
from tests.integration.builder.debian.conftest import _home

pytestmark = pytest.mark.skipif(bool(missing("gpgv")), reason=missing("gpgv") or "gpgv is there")

TEXT = "Origin: Test\nSuite: trixie\n\n- a dash\n-----BEGIN x\nFrom me  \t\n trailing \r\nSHA256:\n" + "".join(
    f" {n:064x} {n} f\n" for n in range(9)
)
BEGIN = b"-----BEGIN PGP SIGNATURE-----"


def now() -> float:
    return utcnow().timestamp()


def says_gpgv(data: bytes, keyring: Path, *more: Path) -> bool:
    command = ["gpgv", "--keyring", str(keyring), *map(str, more), "-"]
    return subprocess.run(command, input=data, capture_output=True, timeout=60).returncode == 0


def keys(path: Path) -> list[Certificate]:
    return certificates(path.read_bytes())


@pytest.fixture
def keyring(gpg: Gpg, tmp_path: Path) -> Path:
    return gpg.keyring(tmp_path / "keys.gpg")


class TestSoundSignatures:
    @pytest.mark.parametrize("algorithm", ["ed25519", "rsa2048", "rsa4096"])
    @pytest.mark.parametrize("digest", ["SHA256", "SHA384", "SHA512"])
    def test_each_key_and_hash_verifies(self, tmp_path: Path, algorithm: str, digest: str) -> None:
        with gpg_home(_home("k"), algorithm) as own:
            ring = own.keyring(tmp_path / "ring")
            data = own.run("--digest-algo", digest, "--clearsign", data=TEXT.encode())
            assert says_gpgv(data, ring)
            assert inline(data, keys(ring), now()).text.startswith("Origin: Test\n")
            (tmp_path / "Release").write_text(TEXT)
            (tmp_path / "Release.gpg").write_bytes(own.detached(TEXT))
            assert detached(TEXT.encode(), own.detached(TEXT), keys(ring), now()).text == TEXT

    def test_the_text_is_what_gpg_takes_it_for(self, gpg: Gpg, keyring: Path) -> None:
        data = gpg.clearsigned(TEXT)
        expected = gpg.run("--decrypt", data=data).decode()
        assert [line.rstrip() for line in expected.split("\n")] == inline(data, keys(keyring), now()).text.split("\n")

    @pytest.mark.parametrize("text", ["x\n", "\n", "x\n\n\n", "x", "- \n--\n-\n", "a \t \n\n b\n"])
    def test_odd_texts_verify(self, gpg: Gpg, keyring: Path, text: str) -> None:
        data = gpg.clearsigned(text)
        assert says_gpgv(data, keyring)
        inline(data, keys(keyring), now())

    def test_trailing_space_and_other_line_ends_change_nothing(self, gpg: Gpg, keyring: Path) -> None:
        data = gpg.clearsigned("one\ntwo\n").replace(b"one\n", b"one \t\n").replace(b"two\n", b"two\r\n")
        assert says_gpgv(data, keyring)
        assert inline(data, keys(keyring), now()).text == "one\ntwo\n"

    def test_a_signing_subkey_verifies_and_names_its_primary_key(self, tmp_path: Path) -> None:
        with gpg_home(_home("k"), "ed25519", usage="cert") as own:
            primary = own.run("--list-keys", "--with-colons").decode().split("fpr:::::::::")[1].split(":")[0]
            own.run("--quick-add-key", primary, "rsa2048", "sign", "never")
            ring = own.keyring(tmp_path / "ring")
            assert inline(own.clearsigned(TEXT), keys(ring), now()).by == primary.lower()

    def test_one_good_signature_of_several_is_enough(self, gpg: Gpg, stranger: Gpg, keyring: Path) -> None:
        ours, theirs = gpg.clearsigned("x\n"), stranger.clearsigned("x\n")
        raw = b"".join(gpg.run("--dearmor", data=BEGIN + data.split(BEGIN)[1]) for data in (theirs, ours))
        both = ours.split(BEGIN)[0] + gpg.run("--enarmor", data=raw).replace(b"PGP ARMORED FILE", b"PGP SIGNATURE")
        inline(both, keys(keyring), now())

    def test_an_armored_keyring_is_read_too(self, gpg: Gpg) -> None:
        inline(gpg.clearsigned(TEXT), certificates(gpg.run("--armor", "--export")), now())

    def test_the_shipped_keys_are_debians_of_12_and_13(self) -> None:
        users = {user.decode() for one in trusted([]) for user, _ in one.users}
        assert len(trusted([])) == 6
        assert all(user.startswith("Debian ") and "debian.org>" in user for user in users)
        assert {number for number in ("12/", "13/") for user in users if f"({number}" in user} == {"12/", "13/"}


class TestWrongSignatures:
    def refused(self, data: bytes, ring: Path | list[Certificate], says: str | None = None, at: float | None = None) -> None:
        with pytest.raises(Untrusted, match=says):
            inline(data, keys(ring) if isinstance(ring, Path) else ring, at if at is not None else now())

    def test_every_flipped_byte_is_refused(self, gpg: Gpg, keyring: Path) -> None:
        data, certified = gpg.clearsigned(TEXT), keys(keyring)
        text = inline(data, certified, now()).text
        randomly = random.Random(4)
        for at in range(len(data)):
            spoilt = bytearray(data)
            spoilt[at] ^= 1 << randomly.randrange(8)
            try:
                assert inline(bytes(spoilt), certified, now()).text == text, f"byte {at} was changed, and something else is trusted"
            except Untrusted:
                continue
            assert bytes(spoilt[at : at + 1]).isspace() or data[at : at + 1].isspace(), (
                f"byte {at}: {data[at : at + 1]!r} is not white space"
            )

    @pytest.mark.parametrize("algorithm", ["ed25519", "rsa2048"])
    def test_every_flipped_bit_of_a_signature_without_a_checksum_is_refused(self, tmp_path: Path, algorithm: str) -> None:
        """Only what OpenPGP itself leaves unsigned in a signature may change: the hint which key made it."""
        with gpg_home(_home("k"), algorithm) as own:
            certified, data = keys(own.keyring(tmp_path / "ring")), own.clearsigned("x\n")
            raw = own.run("--dearmor", data=BEGIN + data.split(BEGIN)[1])
        ((_, body),) = packets(raw)
        start = len(raw) - len(body)
        hashed = start + 6 + int.from_bytes(body[4:6])
        unsigned = range(hashed + 2, hashed + 2 + int.from_bytes(raw[hashed : hashed + 2]))
        text, tried = data.split(BEGIN)[0], 0
        for at in range(len(raw) * 8):
            if at // 8 not in unsigned:
                spoilt = bytearray(raw)
                spoilt[at // 8] ^= 1 << at % 8
                armor = BEGIN + b"\n\n" + base64.b64encode(spoilt) + b"\n-----END PGP SIGNATURE-----\n"
                with pytest.raises(Untrusted):
                    assert not inline(text + armor, certified, now()), f"bit {at} of {len(raw) * 8} was changed"
                tried += 1
        assert tried > 600

    def test_a_subkey_that_does_not_confirm_its_primary_key_is_refused(self, tmp_path: Path) -> None:
        """Else the owner of one key could pass off another's signatures as made for him."""
        with gpg_home(_home("k"), "ed25519", usage="cert") as own:
            primary = own.run("--list-keys", "--with-colons").decode().split("fpr:::::::::")[1].split(":")[0]
            own.run("--quick-add-key", primary, "ed25519", "sign", "never")
            (certificate,), data = certificates(own.run("--export")), own.clearsigned(TEXT)
            inline(data, [certificate], now())
            ((subkey, bound),) = certificate.subkeys
            certificate.subkeys[:] = [(subkey, [replace(one, embedded=None) for one in bound])]
            self.refused(data, [certificate], "not confirmed by itself")

    def test_what_gpgv_refuses_is_refused(self, gpg: Gpg, keyring: Path) -> None:
        """Random damage: deletions, doublings, swaps of whole lines."""
        data, certified, randomly = gpg.clearsigned(TEXT), keys(keyring), random.Random(7)
        trusted_by_us = 0
        for _ in range(60):
            lines = data.split(b"\n")
            one, two = randomly.randrange(len(lines)), randomly.randrange(len(lines))
            lines = randomly.choice([lines[:one] + lines[one + 1 :], [*lines[:one], lines[two], *lines[one:]]])
            spoilt = b"\n".join(lines)
            try:
                inline(spoilt, certified, now())
            except Untrusted:
                continue
            trusted_by_us += 1
            assert says_gpgv(spoilt, keyring) or b"Hash: " not in spoilt, (
                spoilt
            )  # which gpgv takes for MD5, and RFC 9580 no longer asks for
        assert trusted_by_us < 10

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda data: b"Suite: evil\n" + data, "does not begin with a signed message"),
            (lambda data: data + b"Suite: evil\n", "something stands behind the signature"),
            (lambda data: data + data, "something stands behind"),
            (lambda data: data.replace(b"\n\n", b"\nSuite: evil\n\n", 1), "does not belong there"),
            (lambda data: data.replace(b"Hash: SHA512", b"Hash: MD5"), "does not belong there"),
            (lambda data: data.replace(b"- - a dash", b"- a dash"), "does not fit the text"),
            (lambda data: data.replace(b"- -----BEGIN x", b"-----BEGIN x"), "not escaped"),
            (lambda data: data[: data.index(BEGIN)], "there is no signature"),
            (lambda data: data[:-40], "armor is damaged"),
            (lambda data: data.replace(b"Origin", "Ör".encode("latin-1"), 1), "not text"),
            (lambda data: b"", "not signed"),
        ],
        ids=[
            "before",
            "behind",
            "twice",
            "in the head",
            "MD5",
            "dash taken",
            "dash not escaped",
            "no signature",
            "cut off",
            "not text",
            "empty",
        ],
    )
    def test_text_around_the_signed_one_is_refused(self, gpg: Gpg, keyring: Path, change: object, says: str) -> None:
        self.refused(change(gpg.clearsigned(TEXT)), keyring, says)  # type: ignore[operator]

    def test_a_stranger_is_refused_by_name(self, gpg: Gpg, stranger: Gpg, keyring: Path) -> None:
        self.refused(stranger.clearsigned(TEXT), keyring, r"signed by the key [0-9A-F, ]+, which is not trusted")

    def test_a_strangers_signature_in_our_name_is_refused(self, gpg: Gpg, stranger: Gpg, keyring: Path) -> None:
        """The issuer in a signature is only a hint."""
        ours, theirs = keys(keyring)[0].primary, certificates(stranger.run("--export"))[0].primary
        text, _, armor = stranger.clearsigned(TEXT).partition(BEGIN)
        raw = stranger.run("--dearmor", data=BEGIN + armor)
        for old, new in ((theirs.fingerprint, ours.fingerprint), (theirs.key_id, ours.key_id)):
            raw = raw.replace(bytes.fromhex(old), bytes.fromhex(new))
        forged = text + gpg.run("--enarmor", data=raw).replace(b"PGP ARMORED FILE", b"PGP SIGNATURE")
        self.refused(forged, keyring, "does not fit the text")

    def test_sha1_is_refused(self, gpg: Gpg, keyring: Path) -> None:
        self.refused(gpg.run("--digest-algo", "SHA1", "--clearsign", data=TEXT.encode()), keyring, "does not belong there")
        with pytest.raises(Untrusted, match="kinds that are not accepted"):
            sha1 = gpg.run("--digest-algo", "SHA1", "--armor", "--detach-sign", data=TEXT.encode())
            detached(TEXT.encode(), sha1, keys(keyring), now())

    def test_a_small_rsa_key_is_refused(self, tmp_path: Path) -> None:
        with gpg_home(_home("k"), "rsa1024") as own:
            self.refused(own.clearsigned(TEXT), own.keyring(tmp_path / "ring"), "not confirmed by itself|does not fit")

    def test_an_expired_key_is_refused(self, tmp_path: Path) -> None:
        with gpg_home(_home("k"), expires="10d") as own:
            ring, data = own.keyring(tmp_path / "ring"), own.clearsigned(TEXT)
            inline(data, keys(ring), now())
            self.refused(data, ring, "has expired", now() + 11 * 86400)

    def test_an_expired_signature_is_refused(self, gpg: Gpg, keyring: Path) -> None:
        data = gpg.clearsigned(TEXT, "--default-sig-expire", "2d")
        inline(data, keys(keyring), now())
        self.refused(data, keyring, "the signature has expired", now() + 3 * 86400)

    def test_a_signature_of_tomorrow_is_refused_with_a_word_about_the_clock(self, gpg: Gpg, keyring: Path) -> None:
        self.refused(gpg.clearsigned(TEXT), keyring, "23.* hours in the future: is this machine's clock right", now() - 86_000)

    def test_a_revoked_key_is_refused(self, tmp_path: Path) -> None:
        with gpg_home(_home("k")) as own:
            data = own.clearsigned(TEXT)
            (revocation,) = (own.home / "openpgp-revocs.d").glob("*.rev")
            own.run("--import", data=revocation.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))
            ring = own.keyring(tmp_path / "ring")
            assert says_gpgv(data, ring), "gpgv leaves revoked keys to who makes the keyring"
            self.refused(data, ring, "was revoked")

    def test_a_key_that_may_not_sign_is_refused(self, tmp_path: Path) -> None:
        """A primary key for certifying only, whose signing subkey was cut out of the keyring and whose name was put into its place."""
        with gpg_home(_home("k"), "ed25519", usage="cert") as own:
            (certificate,) = certificates(own.run("--export"))
            from builder.debian.signature import check_key

            with pytest.raises(Untrusted, match="not for signing"):
                check_key(certificate, certificate.primary, now())

    def test_a_subkey_that_its_owner_did_not_confirm_is_refused(self, tmp_path: Path, stranger: Gpg) -> None:
        """Somebody puts a good key under a trusted primary one: without the primary's binding it is nothing."""
        with gpg_home(_home("k")) as own:
            (mine,) = certificates(own.run("--export"))
            (theirs,) = certificates(stranger.run("--export"))
            mine.subkeys.append((theirs.primary, list(theirs.direct)))
            self.refused(stranger.clearsigned(TEXT), [mine], "not confirmed by itself")

    def test_a_keyring_that_is_damaged_never_raises_anything_else(self, gpg: Gpg, keyring: Path) -> None:
        data, good, randomly = gpg.clearsigned("x\n"), keyring.read_bytes(), random.Random(3)
        for _ in range(300):
            spoilt = bytearray(good)
            spoilt[randomly.randrange(len(good))] = randomly.randrange(256)
            try:
                inline(data, certificates(bytes(spoilt)), now())
            except ValueError:
                continue  # Malformed and Untrusted are such
