"""A certificate authority and a server certificate of the platform's own, so that kubectl sends its token only over TLS.

Kept across restarts, so that a kubeconfig stays good; made anew when near their end or when a host is missing.
"""

import ipaddress
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kfn.clock import utcnow

_CA_DAYS = 3650
_SERVER_DAYS = 365
_RENEW_DAYS = 30


@dataclass(frozen=True, slots=True)
class Tls:
    """The authority that clients trust (PEM), and the server's certificate chain and key as files."""

    ca_pem: str
    cert_path: Path
    key_path: Path


def ensure(directory: Path, hosts: list[str], name: str = "server") -> Tls:
    """The certificates in `directory`, made or renewed as needed. `hosts` are names and addresses of the server called `name`."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca_cert, ca_key = directory / "ca.crt", directory / "ca.key"
    cert, key = directory / f"{name}.crt", directory / f"{name}.key"
    now = utcnow()
    authority = _load(ca_cert, ca_key, now)
    if authority is None:
        authority = _make_authority(now)
        _save(ca_cert, ca_key, *authority)
    server = _load(cert, key, now)
    if server is None or not _issued(server[0], authority[0]) or not set(hosts) <= _hosts(server[0]):
        server = _make_server(authority, name, hosts, now)
        _save(cert, key, *server)
    return Tls(authority[0].public_bytes(serialization.Encoding.PEM).decode(), cert, key)


Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _load(cert_path: Path, key_path: Path, now: datetime) -> Pair | None:
    """The pair on disk, or None when it is missing, unreadable, not a pair, or near its end."""
    try:
        cert = x509.load_pem_x509_certificate(cert_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (OSError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or cert.public_key() != key.public_key():
        return None
    if cert.not_valid_after_utc - now < timedelta(days=_RENEW_DAYS):
        return None
    return cert, key


def _issued(cert: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        cert.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _hosts(cert: x509.Certificate) -> set[str]:
    try:
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def _make_authority(now: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("kfn embedded CA")
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    builder = (
        _builder(name, name, key, now, _CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256()), key


def _make_server(authority: Pair, name: str, hosts: list[str], now: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(f"kfn embedded {name}"), authority[0].subject, key, now, _SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName([_general(h) for h in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority[1].public_key()), critical=False)
    )
    return builder.sign(authority[1], hashes.SHA256()), key


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))  # clocks of containers and virtual machines lag
        .not_valid_after(now + timedelta(days=days))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _save(cert_path: Path, key_path: Path, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _replace(key_path, private)
    _replace(cert_path, cert.public_bytes(serialization.Encoding.PEM))


def _replace(path: Path, content: bytes) -> None:
    """Write it whole or not at all, readable by the owner only from the first byte on."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
