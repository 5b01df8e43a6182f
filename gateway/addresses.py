"""Instances' addresses out of EndpointSlices. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from kfn.api import names
from kfn.api.core import EndpointPort, EndpointSlice
from kfn.api.meta import ObjectMeta

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
    if port is None or slice_.address_type == "FQDN":
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


def kept(slice_: EndpointSlice) -> EndpointSlice:
    """What a local copy must keep of a slice whose addresses are known: whose it is."""
    meta = slice_.metadata
    labels = {names.REVISION: meta.labels[names.REVISION]} if names.REVISION in meta.labels else {}
    name = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid, resource_version=meta.resource_version, labels=labels)
    return EndpointSlice(metadata=name)


def merged(slices: Iterable[tuple[Address, ...]], cordoned: Collection[str] = ()) -> dict[tuple[str, int], Address]:
    """All of a revision's addresses, each once, and one of each pod.

    Two Services select the same pods, an address moves from slice to slice, and slices come in any order: a pod is ready if one of them
    says so, and on its way out if one of them, or `cordoned`, says so, because nobody comes back from there. Its address may be
    another pod's by then, who is not.
    """
    found: dict[tuple[str, int], Address] = {}
    families = False
    for addresses in slices:
        for address in addresses:
            key = (address.host, address.port)
            other = found.get(key)
            if other is not None and other != address:
                address = _either(other, address)
            found[key] = address
            families = families or ":" in address.host
    if cordoned:
        found = {key: replace(a, terminating=True) if a.pod in cordoned else a for key, a in found.items()}
    return _one_family(found) if families else found


def _either(one: Address, other: Address) -> Address:
    if one.pod != other.pod:
        return one if other.terminating and not one.terminating else other
    return replace(one, ready=one.ready or other.ready, terminating=one.terminating or other.terminating)


def _one_family(found: dict[tuple[str, int], Address]) -> dict[tuple[str, int], Address]:
    """Of a pod that has addresses of both families the IPv4 one: as two instances it would get twice what it can take."""
    known = {address.pod for address in found.values() if ":" not in address.host and address.pod}
    return {key: address for key, address in found.items() if ":" not in address.host or address.pod not in known}


def _port(ports: list[EndpointPort]) -> EndpointPort | None:
    usable = [p for p in ports if p.port]
    named = {p.name: p for p in usable}
    return next((named[name] for name in PREFERRED if name in named), usable[0] if usable else None)
