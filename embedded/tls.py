"""A certificate authority and a server certificate of the platform's own, so that kubectl sends its token only over TLS.

Kept across restarts, so that a kubeconfig stays good; made anew when near their end or when a host is missing.
"""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from kfn import certificates
from kfn.certificates import Pair
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
        authority = certificates.make_authority("kfn embedded CA", timedelta(days=_CA_DAYS), now)
        _save(ca_cert, ca_key, *authority)
    server = _load(cert, key, now)
    if server is None or not certificates.issued(server[0], authority[0]) or not set(hosts) <= certificates.hosts(server[0]):
        server = certificates.make_server(authority, f"kfn embedded {name}", hosts, timedelta(days=_SERVER_DAYS), now)
        _save(cert, key, *server)
    return Tls(certificates.pem(authority[0]).decode(), cert, key)


def _load(cert_path: Path, key_path: Path, now: datetime) -> Pair | None:
    """The pair on disk, or None when it is missing, unreadable, not a pair, or near its end."""
    try:
        found = certificates.read(cert_path.read_bytes(), key_path.read_bytes())
    except OSError:
        return None
    if found is None or found[0].not_valid_after_utc - now < timedelta(days=_RENEW_DAYS):
        return None
    return found


def _save(cert_path: Path, key_path: Path, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    _replace(key_path, certificates.key_pem(key))
    _replace(cert_path, certificates.pem(cert))


def _replace(path: Path, content: bytes) -> None:
    """Write it whole or not at all, readable by the owner only from the first byte on."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
