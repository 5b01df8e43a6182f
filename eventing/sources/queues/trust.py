"""An SSL context from PEM that stands in Secrets. A private key never touches a disk."""

import os
import ssl
import tempfile


class TlsError(ValueError):
    """A certificate or key is wrong; the message names the field, and not the value."""


def context(field: str, ca: bytes, cert: bytes, key: bytes) -> ssl.SSLContext:
    """`field` is where the three stand in the object. Without `ca` the system's authorities count. Raises `TlsError`."""
    made = ssl.create_default_context()
    if ca:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            made.load_verify_locations(cadata=ca.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise TlsError(f"{field}.caCert is no certificate in PEM") from None
    if cert:
        _own(made, field, cert, key)
    return made


def _own(made: ssl.SSLContext, field: str, cert: bytes, key: bytes) -> None:
    """Python reads its own certificate from files only."""
    memory = os.memfd_create("kfn", os.MFD_CLOEXEC) if hasattr(os, "memfd_create") else None
    with open(memory, "wb") if memory is not None else tempfile.NamedTemporaryFile() as file:
        file.write(cert.rstrip() + b"\n" + key)
        file.flush()
        try:
            made.load_cert_chain(f"/proc/self/fd/{memory}" if memory is not None else file.name)
        except (ssl.SSLError, OSError):
            raise TlsError(f"{field}.cert and {field}.key are no certificate in PEM with its key, without a password") from None
