"""What can be chosen about the admission webhook."""

from dataclasses import dataclass

from kfn.api.names import SYSTEM_NAMESPACE


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are in seconds, sizes in bytes."""

    host: str = "0.0.0.0"  # noqa: S104 - the API server comes from another machine
    port: int = 8443  # 0 picks a free one
    namespace: str = SYSTEM_NAMESPACE  # of the Service and of the Secret
    service: str = "kfn-webhook"
    secret: str = "kfn-webhook-certs"  # noqa: S105 - a name
    url: str = ""  # https://HOST:PORT where the API server reaches it, instead of the Service: for a process beside a cluster

    bindings: bool = False  # serve the page for SinkBindings, and have the API server ask it about the kinds that they name

    body_limit: int = 4 << 20  # a review of an update has the object twice, each at most 1.5 MiB in etcd
    read_timeout: float = 10.0  # until a review is there; the API server itself gives up after 10 s
    farewell: float = 3.0  # that reviews are still taken after the end was asked for: Services learn of it a little later
    at_once: int = 32  # reviews that are read and answered at the same time; others wait

    life: float = 90 * 86400.0  # of a certificate and of the authority that signed it
    renew_before: float = 30 * 86400.0  # its end, a new one is made
    overlap: float = 20.0  # that a new authority is trusted before its certificate is shown: API servers and replicas learn it by a watch
    retire_after: float = 3600.0  # that a replaced authority is still trusted: a replica may be cut off from the API server meanwhile
    look: float = 3600.0  # between two looks at how near the end is

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names and addresses in the certificate."""
        inside = f"{self.service}.{self.namespace}"
        named = (f"{inside}.svc", f"{inside}.svc.cluster.local", inside)
        return (*named, host(self.url)) if self.url else named


def host(url: str) -> str:
    """The host of `https://HOST:PORT/...`, an IPv6 address without its brackets."""
    place = url.removeprefix("https://").split("/", 1)[0]
    if place.startswith("["):
        return place[1:].split("]", 1)[0]
    return place.rsplit(":", 1)[0] if ":" in place else place
