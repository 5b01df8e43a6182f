"""The server's side of TLS: one kind of context for every port of the platform, and certificates from memory.

Which certificate is shown when is the caller's affair (`gateway.tls`, `controller.webhook`); making them is `kfn.certificates`'.
"""

import os
import ssl
from collections.abc import Sequence


def context(protocols: Sequence[str] = ("http/1.1",)) -> ssl.SSLContext:
    """TLS 1.2 or later, without a certificate yet. `protocols` are offered by ALPN, the best first."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # its ciphers are the module's; compression is off
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION  # in TLS 1.2 a client could ask for handshake after handshake
    made.set_alpn_protocols(list(protocols))
    return made


def show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Show this certificate (PEM) to whom connects from now on. Raises `ssl.SSLError` or `OSError`.

    OpenSSL takes files only; this one is in memory, and nobody's after it."""
    file = os.memfd_create("kfn-tls", os.MFD_CLOEXEC)
    try:
        os.write(file, certificate + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{file}", password=b"")
    finally:
        os.close(file)
