"""A certificate authority for tests: certificates with any names, dates and keys, as PEM or as files."""

import base64
import ssl
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from kfn.api.core import Secret
from kfn.api.meta import ObjectMeta
from kfn.clock import utcnow

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Issued:
    cert: bytes
    key: bytes
    serial: int

    def write(self, folder: Path) -> tuple[str, str]:
        """As files, each replaced whole, the key first as most tools do it."""
        folder.mkdir(exist_ok=True)
        for name, content in (("tls.key", self.key), ("tls.crt", self.cert)):
            draft = folder / f".{name}"
            draft.write_bytes(content)
            draft.replace(folder / name)
        return str(folder / "tls.crt"), str(folder / "tls.key")


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _subject(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass
class Authority:
    key: ec.EllipticCurvePrivateKey = field(default_factory=_key)

    def __post_init__(self) -> None:
        own = self._builder(_name("test CA"), self.key, utcnow(), timedelta(days=30))
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem = own.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(
        self, *names: str, begins: datetime | None = None, days: float = 7, key: PrivateKey | None = None, passphrase: bytes = b""
    ) -> Issued:
        key = key or _key()
        builder = self._builder(_name("test"), key, begins or utcnow(), timedelta(days=days))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_subject(n) for n in names]), critical=False)
        cert = builder.sign(self.key, hashes.SHA256())
        lock = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
        return Issued(cert.public_bytes(serialization.Encoding.PEM), private, cert.serial_number)

    def trusting(self, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        """A client's context."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def _builder(self, subject: x509.Name, key: PrivateKey, begins: datetime, lasts: timedelta) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_name("test CA"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins - timedelta(minutes=5))
            .not_valid_after(begins + lasts)
        )


def secret(
    issued: Issued, name: str = "web", *, kind: str = "kubernetes.io/tls", labels: dict[str, str] | None = None, namespace: str = "front"
) -> Secret:
    """As cert-manager writes it."""
    data = {"tls.crt": base64.b64encode(issued.cert).decode(), "tls.key": base64.b64encode(issued.key).decode()}
    return Secret(metadata=ObjectMeta(name=name, namespace=namespace, labels=labels or {}), type=kind, data=data)
