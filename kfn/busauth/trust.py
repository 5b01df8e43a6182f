"""The authority that signs the certificate of a platform's nats-server. Its key comes from the platform's secret, as all others do, so that
nobody has to keep it or be told of it: who has the secret trusts what was signed by it, whenever that was."""

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from kfn import certificates
from kfn.busauth.keys import Keys

_NAME = "kfn NATS authority"
_SINCE, _LIFE = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=36500)
SERVER = timedelta(days=730)  # a server's certificate; it has a new one with every start
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


def authority(keys: Keys) -> bytes:
    """Its certificate in PEM. No two are the same bytes, and each verifies what another has signed: name and key are."""
    return certificates.pem(_authority(keys)[0])


def server(keys: Keys, names: list[str], now: datetime) -> tuple[bytes, bytes]:
    """A new certificate for a server of these names, and its key, in PEM."""
    made, key = certificates.make_server(_authority(keys), "kfn nats-server", names, SERVER, now)
    return certificates.pem(made), certificates.key_pem(key)


def _authority(keys: Keys) -> certificates.Pair:
    number = int.from_bytes(keys.authority, "big") % (_ORDER - 1) + 1
    return certificates.make_authority(_NAME, _LIFE, _SINCE, ec.derive_private_key(number, ec.SECP256R1()))
