"""Instances' addresses out of EndpointSlices. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from kfn.api.core import EndpointPort, EndpointSlice

HTTP2 = ("kubernetes.io/h2c", "h2c")  # appProtocol
PREFERRED = ("http", "http1", "h2c")  # names of the traffic port on a Service that has several


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    ready: bool
    terminating: bool
    pod: str = ""
    http2: bool = False  # spoken to in HTTP/2, with prior knowledge


def of(slice_: EndpointSlice) -> tuple[Address, ...]:
    port = _port(slice_.ports)
    if port is None:
        return ()
    return tuple(
        Address(
            host=address,
            port=port.port or 0,
            http2=port.name == "h2c" or port.app_protocol in HTTP2,
            ready=endpoint.conditions.ready is not False,  # the API: unknown is to be read as ready
            terminating=endpoint.conditions.terminating is True,
            pod=endpoint.target_ref.name if endpoint.target_ref else "",
        )
        for endpoint in slice_.endpoints
        for address in endpoint.addresses[:1]
    )


def merged(slices: Iterable[tuple[Address, ...]], cordoned: Collection[str] = ()) -> dict[tuple[str, int], Address]:
    """All of a revision's addresses. One that is in two slices for a moment is ready if either says so; `cordoned` pods are on their
    way out, whatever slices say."""
    found: dict[tuple[str, int], Address] = {}
    for addresses in slices:
        for address in addresses:
            key = (address.host, address.port)
            other = found.get(key)
            if other is None or (address.ready and not other.ready):
                found[key] = replace(address, terminating=True) if cordoned and address.pod in cordoned else address
    return found


def _port(ports: list[EndpointPort]) -> EndpointPort | None:
    usable = [p for p in ports if p.port]
    named = {p.name: p for p in usable}
    return next((named[name] for name in PREFERRED if name in named), usable[0] if usable else None)
