"""Whom a build on a platform trusts and how it is known to its index, from the files of Secrets; and what is told of a mistake in them."""

import ssl
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization

from builder.cluster import trust, wire
from builder.errors import UsageError
from kfn import certificates
from kfn.clock import utcnow

PEM, OTHER = (
    certificates.make_authority(name, timedelta(hours=1), utcnow())[0].public_bytes(serialization.Encoding.PEM).decode()
    for name in ("one", "two")
)


def secret(folder: Path, **files: str) -> Path:
    """The folder of secrets with an index Secret of these keys; `ca_crt` is ca.crt."""
    (folder / "index").mkdir()
    for name, text in files.items():
        (folder / "index" / name.replace("_", ".")).write_text(text)
    return folder


def subjects(pem: str) -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem)
    return len(context.get_ca_certs())


class TestAuthorities:
    def test_of_the_platform_and_of_the_secret_stand_beside_the_systems(self, tmp_path: Path) -> None:
        system = tmp_path / "system.pem"
        system.write_text(f"# Főtanúsítvány\n{OTHER}")
        own = trust.authorities(secret(tmp_path, ca_crt=PEM), {wire.CA: OTHER})
        told = trust.bundle(own, tmp_path, {"SSL_CERT_FILE": str(system)})
        assert set(told) == {"SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"}
        (file,) = set(told.values())
        assert Path(file).read_text().count("BEGIN CERTIFICATE") == 3

    def test_are_not_written_where_there_are_none(self, tmp_path: Path) -> None:
        assert trust.bundle(trust.authorities(tmp_path, {}), tmp_path, {}) == {}

    def test_keep_only_the_certificates_of_a_file(self) -> None:
        key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
        found = trust.checked(f"# Főtanúsítvány\n{key}{PEM}\n{OTHER}", "it")
        assert "PRIVATE" not in found
        assert subjects(found) == 2

    @pytest.mark.parametrize("text", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
    def test_that_are_none_are_refused_by_their_place(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(UsageError, match=r"^ca\.crt of the index Secret holds no certificate in PEM form"):
            trust.authorities(secret(tmp_path, ca_crt=text), {})

    def test_of_the_whole_world_are_too_many_for_the_platform(self) -> None:
        with pytest.raises(UsageError, match=r"KFN_BUILD_CA, the platform's builds.ca, has \d+ bytes, 65536 are possible"):
            trust.authorities(Path("/nowhere"), {wire.CA: PEM * 200})


class TestThePlatformsFile:
    def test_is_read_again_when_it_changes(self, tmp_path: Path) -> None:
        file = tmp_path / "ca.crt"
        file.write_text(PEM)
        known = trust.Platform(file)
        file.write_text(OTHER)
        assert known.look() == ""
        assert known.text.strip() == OTHER.strip()

    def test_has_to_be_good_at_first_and_what_was_good_stays(self, tmp_path: Path) -> None:
        file = tmp_path / "ca.crt"
        with pytest.raises(UsageError, match="No such file"):
            trust.Platform(file)
        file.write_text(PEM)
        known = trust.Platform(file)
        file.write_text("nonsense")
        assert "holds no certificate" in known.look()
        assert known.look() == ""
        file.unlink()
        assert "No such file" in known.look()
        assert known.text.strip() == PEM.strip()


class TestTheIndex:
    def test_gets_the_login_into_its_address_whatever_is_in_it(self, tmp_path: Path) -> None:
        folder = secret(tmp_path, url="https://index.example:8443/simple/\n", username="team@example", password="p/w:d@#%")
        url = urlsplit(trust.index(folder)["UV_DEFAULT_INDEX"])
        assert (url.hostname, url.port, url.path) == ("index.example", 8443, "/simple/")
        assert (unquote(url.username or ""), unquote(url.password or "")) == ("team@example", "p/w:d@#%")

    def test_may_be_left_to_the_builder(self, tmp_path: Path) -> None:
        assert trust.index(secret(tmp_path, ca_crt=PEM)) == {}

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ({"username": "u", "password": "geheim"}, "a login but no url"),
            ({"url": "ftp://index.example/geheim"}, "no address of an index"),
            ({"url": "index.example/geheim"}, "no address of an index"),
            ({"url": "https://a:geheim@index.example/", "username": "u"}, "keep one of them"),
        ],
    )
    def test_that_makes_no_sense_is_refused_without_its_secret(self, tmp_path: Path, files: dict[str, str], words: str) -> None:
        with pytest.raises(UsageError, match=words) as refused:
            trust.index(secret(tmp_path, **files))
        assert "geheim" not in str(refused.value)
