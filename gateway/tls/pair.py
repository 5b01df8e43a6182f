"""A certificate and its private key, checked and ready to be shown to clients: from two pieces of PEM to an `ssl.SSLContext`.

Where the PEM comes from and when it is looked at again is `certificates`' affair. Keys go to OpenSSL and are kept nowhere else.
"""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from kfn import servertls

Chooser = Callable[[ssl.SSLObject, str | None, ssl.SSLContext], int | None]
"""Called for every connection with the server name that the client wants, if it has named one; gives an alert, or None."""


class BadPair(Exception):
    """What is wrong, and what to do about it."""


@dataclass(frozen=True, slots=True)
class Pair:
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    serial: int
    context: ssl.SSLContext


def load(certificate: bytes, key: bytes, protocols: Sequence[str]) -> Pair:
    """Raises BadPair. `protocols` are offered by ALPN, the best first."""
    try:
        chain = x509.load_pem_x509_certificates(certificate)
    except ValueError:
        raise BadPair("the certificate is not PEM, or not all of it is there; it begins with -----BEGIN CERTIFICATE-----") from None
    leaf = chain[0]
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except TypeError:
        raise BadPair("the key is encrypted with a passphrase; nobody can type it here: openssl pkey -in KEY -out PLAIN_KEY") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadPair("the key is not PEM, or not all of it is there; it begins with -----BEGIN PRIVATE KEY-----") from None
    if _public(leaf.public_key()) != _public(private.public_key()):
        raise BadPair(f"the key does not belong to the certificate of {', '.join(_names(leaf)) or 'no name'}; the server's own goes first")
    context = servertls.context(protocols)
    try:
        servertls.show(context, certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise BadPair(f"OpenSSL does not take it: {error}") from None
    return Pair(_names(leaf), leaf.not_valid_before_utc, leaf.not_valid_after_utc, leaf.serial_number, context)


def choosing(protocols: Sequence[str], choose: Chooser) -> ssl.SSLContext:
    """What a connection begins with, before the client's server name is known. It has no certificate of its own."""
    context = servertls.context(protocols)
    context.sni_callback = choose
    return context


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Host names only: a client that asks for an address sends no server name, and gets the default."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(found.get_values_for_type(x509.DNSName))


def _public(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined,no-any-return]  # every kind of public key has it
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
