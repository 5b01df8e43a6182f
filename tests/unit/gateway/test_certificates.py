"""Certificates from files and Secrets: what is taken, what is refused with which words, and what stays in use meanwhile."""

import logging
import os
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.tls import certificates
from gateway.tls.certificates import CertificateError, Certificates
from kfn.api.core import Secret
from kfn.clock import utcnow
from tests.fakes.authority import Authority, Issued, secret

CA = Authority()
HELLO = CA.issue("hello.example.com")
OTHER = CA.issue("other.example.com")


def _serials(found: Certificates) -> list[int]:
    return [one.serial for one in found.pairs()]


class TestFiles:
    @pytest.mark.parametrize(
        ("cert", "key", "said"),
        [
            pytest.param(HELLO.cert, OTHER.key, "the key does not belong to the certificate of hello.example.com", id="not-a-pair"),
            pytest.param(HELLO.cert[:200], HELLO.key, "the certificate is not PEM, or not all of it is there", id="half-a-certificate"),
            pytest.param(b"", HELLO.key, "the certificate is not PEM", id="an-empty-certificate"),
            pytest.param(HELLO.cert, HELLO.key[:100], "the key is not PEM, or not all of it is there", id="half-a-key"),
            pytest.param(HELLO.cert, CA.issue("a", passphrase=b"secret").key, "encrypted with a passphrase", id="a-passphrase"),
            pytest.param(None, HELLO.key, "cannot read", id="a-missing-file"),
        ],
    )
    def test_a_bad_pair_at_the_start_is_an_error_that_names_files_and_fix(
        self, tmp_path: Path, cert: bytes | None, key: bytes, said: str
    ) -> None:
        for name, content in (("tls.crt", cert), ("tls.key", key)):
            if content is not None:
                (tmp_path / name).write_bytes(content)
        files = (str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))
        with pytest.raises(CertificateError, match=said) as error:
            Certificates([files]).start()
        assert str(tmp_path / "tls.crt") in str(error.value)
        assert "PRIVATE" not in str(error.value).replace("-----BEGIN PRIVATE KEY-----", "")

    def test_a_key_too_small_for_openssl_is_an_error_and_not_a_crash(self, tmp_path: Path) -> None:
        from cryptography.hazmat.primitives.asymmetric import rsa

        small = CA.issue("small.example.com", key=rsa.generate_private_key(65537, 1024))
        with pytest.raises(CertificateError, match="OpenSSL does not take it"):
            Certificates([small.write(tmp_path)]).start()

    def test_an_expired_certificate_starts_with_an_error_in_the_log(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        expired = CA.issue("hello.example.com", begins=utcnow() - timedelta(days=9), days=2)
        found = Certificates([expired.write(tmp_path)])
        found.start()
        assert _serials(found) == [expired.serial]
        assert "now is not then" in caplog.text

    @pytest.mark.parametrize("way", ["replaced", "in place", "same time and size"])
    def test_a_change_of_the_files_is_seen_at_the_next_look(self, tmp_path: Path, way: str) -> None:
        found = Certificates([HELLO.write(tmp_path)])
        found.start()
        before, context = os.stat(tmp_path / "tls.crt"), found.context
        if way == "replaced":
            OTHER.write(tmp_path)
        else:
            (tmp_path / "tls.key").write_bytes(OTHER.key)
            (tmp_path / "tls.crt").write_bytes(OTHER.cert)
        if way == "same time and size":
            os.utime(tmp_path / "tls.crt", ns=(before.st_mtime_ns, before.st_mtime_ns))
        found.check()
        assert _serials(found) == [OTHER.serial]
        assert found.context is not context
        assert found.reloads == 1

    def test_a_mounted_secret_is_reloaded_when_its_link_is_turned(self, tmp_path: Path) -> None:
        HELLO.write(tmp_path / "..1")
        OTHER.write(tmp_path / "..2")
        for folder in ("..1", "..2"):  # long ago, so that nothing but the link tells
            for file in (tmp_path / folder).iterdir():
                os.utime(file, (1, 1))
        (tmp_path / "..data").symlink_to("..1")
        for name in ("tls.crt", "tls.key"):
            (tmp_path / name).symlink_to(Path("..data") / name)
        found = Certificates([(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))])
        found.start()
        (tmp_path / "..next").symlink_to("..2")
        (tmp_path / "..next").replace(tmp_path / "..data")
        found.check()
        assert _serials(found) == [OTHER.serial]

    def test_files_that_say_that_they_are_old_are_not_read_until_somebody_asks(self, tmp_path: Path) -> None:
        def write(issued: Issued) -> None:
            for file, content in ((tmp_path / "tls.key", issued.key), (tmp_path / "tls.crt", issued.cert.ljust(2000, b"\n"))):
                file.write_bytes(content)
                os.utime(file, (1, 1))

        write(HELLO)
        found = Certificates([(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))])
        found.start()
        write(OTHER)
        found.check()
        assert _serials(found) == [HELLO.serial]
        found.check(closely=True)
        assert _serials(found) == [OTHER.serial]

    def test_the_old_pair_stays_while_the_new_one_is_half_written(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        found = Certificates([HELLO.write(tmp_path)])
        found.start()
        context = found.context
        (tmp_path / "tls.crt").write_bytes(OTHER.cert)
        for _ in range(3):
            found.check()
        assert (_serials(found), found.context) == ([HELLO.serial], context)
        assert sum(found.failures.values()) == 1
        assert caplog.text.count("the key does not belong") == 1
        assert "The certificate before it stays in use" in caplog.text
        (tmp_path / "tls.key").write_bytes(OTHER.key)
        found.check()
        assert _serials(found) == [OTHER.serial]

    def test_files_that_vanish_leave_the_old_pair_in_use(self, tmp_path: Path) -> None:
        found = Certificates([HELLO.write(tmp_path)])
        found.start()
        (tmp_path / "tls.crt").unlink()
        found.check()
        found.check()
        assert (_serials(found), sum(found.failures.values())) == ([HELLO.serial], 1)
        OTHER.write(tmp_path)
        found.check()
        assert _serials(found) == [OTHER.serial]

    def test_an_expired_certificate_never_replaces_a_valid_one(self, tmp_path: Path) -> None:
        found = Certificates([HELLO.write(tmp_path)])
        found.start()
        CA.issue("hello.example.com", begins=utcnow() - timedelta(days=9), days=2).write(tmp_path)
        found.check()
        assert (_serials(found), sum(found.failures.values())) == ([HELLO.serial], 1)

    def test_a_certificate_of_tomorrow_waits_until_it_is_valid(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        found = Certificates([HELLO.write(tmp_path)])
        found.start()
        later = CA.issue("hello.example.com", begins=utcnow() + timedelta(days=1))
        later.write(tmp_path)
        found.check()
        assert _serials(found) == [HELLO.serial]
        tomorrow = utcnow() + timedelta(days=1, minutes=1)
        monkeypatch.setattr(certificates, "utcnow", lambda: tomorrow)
        found.check()
        assert _serials(found) == [later.serial]
        assert not found.failures


class TestSecrets:
    def test_a_named_secret_is_used_as_soon_as_it_is_there(self) -> None:
        found = Certificates(named=["front/web"])
        found.start()
        assert found.context is None
        found.named_changed(None, secret(HELLO))
        assert found.context is not None
        found.named_changed(secret(HELLO), secret(OTHER))
        assert (_serials(found), found.reloads) == ([OTHER.serial], 1)

    def test_a_named_secret_that_is_deleted_leaves_its_certificate_in_use(self, caplog: pytest.LogCaptureFixture) -> None:
        found = Certificates(named=["front/web"])
        found.named_changed(None, secret(HELLO))
        found.named_changed(secret(HELLO), None)
        assert _serials(found) == [HELLO.serial]
        assert "Secret front/web: it is gone" in caplog.text

    def test_a_labelled_secret_that_is_deleted_is_shown_no_more(self) -> None:
        found = Certificates(named=["front/web"])
        found.named_changed(None, secret(HELLO))
        found.labelled_changed(None, secret(OTHER, "more"))
        assert _serials(found) == [HELLO.serial, OTHER.serial]
        found.labelled_changed(secret(OTHER, "more"), None)
        assert _serials(found) == [HELLO.serial]

    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            pytest.param(secret(OTHER, kind="Opaque"), "kubectl create secret tls", id="of-another-type"),
            pytest.param(Secret(metadata=secret(OTHER).metadata, type="kubernetes.io/tls"), "tls.crt", id="without-data"),
            pytest.param(
                Secret(metadata=secret(OTHER).metadata, type="kubernetes.io/tls", data={"tls.crt": "%", "tls.key": ""}),
                "its data",
                id="not-base64",
            ),
            pytest.param(secret(Issued(HELLO.cert, OTHER.key, 0)), "does not belong", id="not-a-pair"),
        ],
    )
    def test_a_bad_secret_changes_nothing_and_is_told(self, bad: Secret, said: str, caplog: pytest.LogCaptureFixture) -> None:
        found = Certificates(named=["front/web"])
        found.named_changed(None, secret(HELLO))
        found.named_changed(secret(HELLO), bad)
        assert (_serials(found), found.failures) == ([HELLO.serial], {"Secret front/web": 1})
        assert said in caplog.text
        assert OTHER.key.splitlines()[1].decode() not in caplog.text

    def test_only_a_certificate_that_was_named_is_the_default(self) -> None:
        found = Certificates(named=["front/web"])
        found.labelled_changed(None, secret(OTHER, "a"))
        assert set(found.expiries()) == {"other.example.com"}


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
