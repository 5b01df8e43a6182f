"""The numbers of the HTTPS port: when certificates end, what could not be loaded, which handshakes failed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kfn.clock import utcnow

if TYPE_CHECKING:
    from gateway.tls.certificates import Certificates

Row = tuple[dict[str, str], float]


def numbers(certificates: "Certificates") -> Iterator[tuple[str, str, str, list[Row]]]:
    """Name, kind, meaning and samples of each."""
    now = utcnow()
    left: list[Row] = [({"server_name": name}, (ends - now).total_seconds()) for name, ends in certificates.expiries().items()]
    yield "kfn_gateway_certificate_expiry_seconds", "gauge", "Until the certificate for a name ends; negative: it has ended.", left
    yield "kfn_gateway_certificate_reloads_total", "counter", "Certificates replaced by newer ones.", [({}, certificates.reloads)]
    failures: list[Row] = [({"source": source}, times) for source, times in certificates.failures.items()]
    yield (
        "kfn_gateway_certificate_reload_failures_total",
        "counter",
        "Certificates that could not be used; what was before stayed.",
        failures,
    )
    handshakes: list[Row] = [({"reason": reason}, times) for reason, times in certificates.handshake_failures.items()]
    yield "kfn_gateway_tls_handshake_failures_total", "counter", "TLS handshakes that came to nothing.", handshakes
