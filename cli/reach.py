"""Where requests for functions go in, from this machine: an embedded platform's gateway, or a cluster's.

On a cluster a function's name is often not in the DNS of whoever tries it: the domain is a placeholder, or it is only known inside.
So the gateway is asked for where Kubernetes publishes it, as the address of a load balancer or a port of the nodes, and the name
travels in the Host header. HTTPS goes by DNS, because the certificate is for the name. `--gateway` and `$KFN_GATEWAY` say it outright.
"""

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import click

from cli.failures import CliError
from kfn.api.names import SYSTEM_NAMESPACE

if TYPE_CHECKING:
    from cli.session import Session
    from kfn.api import core
    from kfn.kube.client import Client

ENVIRONMENT = "KFN_GATEWAY"
GATEWAY = "kfn-gateway"
LABELS = "app.kubernetes.io/name=kfn,app.kubernetes.io/component=gateway"
PLACEHOLDER = ".example.com"  # Knative's and kfn's default domain, which is somebody else's in the DNS
_INSIDE = (".svc.cluster.local", ".svc")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host and port to connect to, and the Host header. `known` is False where only DNS says where it is."""

    address: str
    port: int
    host: str
    known: bool = True


def option(command: "click.decorators.FC") -> "click.decorators.FC":
    """Add --gateway."""
    return click.option(
        "--gateway", metavar="HOST[:PORT]", envvar=ENVIRONMENT, help=f"Connect to this gateway, whatever DNS says; else ${ENVIRONMENT}."
    )(command)


def endpoint(session: "Session", url: str, gateway: str = "") -> Endpoint:
    """How to send a request to a function's URL. Raises CliError where there is no way from here."""
    parts = urlsplit(url)
    inside = (parts.hostname or "").endswith(_INSIDE)
    if gateway:
        return _given(gateway, parts)
    if session.facts:
        embedded = urlsplit(session.facts.get("gateway_local", session.facts["gateway"]) if inside else session.facts["gateway"])
        return Endpoint(embedded.hostname or "127.0.0.1", embedded.port or 80, parts.netloc)
    if parts.scheme == "https":
        return _by_name(parts)
    from cli.session import run

    found: tuple[str, int] | None = None if inside else run(_published, session)
    if found is not None:
        return Endpoint(*found, parts.netloc)
    if not (parts.hostname or "").endswith(PLACEHOLDER) and _resolves(parts.hostname or ""):
        return _by_name(parts)
    if inside:
        raise CliError(f"{url} is a name inside the cluster, and this machine is outside; call it from a pod, or give --gateway HOST:PORT")
    raise CliError(
        f"{url} is not in the DNS, and Service {SYSTEM_NAMESPACE}/{GATEWAY} has no address outside the cluster. "
        f"Give --gateway HOST:PORT, for example of `kubectl -n {SYSTEM_NAMESPACE} port-forward svc/{GATEWAY} 8080:80`",
        5,
    )


def hint(session: "Session", url: str, name: str) -> str:
    """What to say to somebody who is shown a URL of a cluster that this machine does not find by name; empty when it does."""
    host = urlsplit(url).hostname or ""
    if not host or url.startswith("https:") or (not host.endswith(PLACEHOLDER) and _resolves(host)):
        return ""
    try:
        there = endpoint(session, url)
    except CliError:
        return f"{host} is not in the DNS here; `kfn invoke {name} --gateway HOST:PORT` calls it"
    address = f"[{there.address}]" if ":" in there.address else there.address
    return f"{host} is not in the DNS here: kfn invoke {name}, or curl -H 'Host: {there.host}' http://{address}:{there.port}"


def _given(gateway: str, parts: SplitResult) -> Endpoint:
    found = urlsplit(f"//{gateway}")
    try:
        port = found.port
    except ValueError:
        port = -1
    if not found.hostname or port == -1 or found.path or found.username:
        raise CliError(f"--gateway {gateway!r} is not HOST or HOST:PORT", 2)
    return Endpoint(found.hostname, port or (443 if parts.scheme == "https" else 80), parts.netloc)


def _by_name(parts: SplitResult) -> Endpoint:
    return Endpoint(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), parts.netloc, known=False)


def _resolves(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


async def _published(session: "Session") -> tuple[str, int] | None:
    """Where Kubernetes publishes the gateway; None when it does not, or does not tell this user."""
    from kfn.api import kinds
    from kfn.kube import errors

    async with session.client() as client:
        try:
            services, _ = await client.list(kinds.CORE_SERVICE, SYSTEM_NAMESPACE, labels=LABELS)
            if not services:
                services, _ = await client.list(kinds.CORE_SERVICE, labels=LABELS)
            for service in sorted(services, key=lambda one: one.metadata.name):
                if (found := balanced(service)) is not None:
                    return found
                if (port := node_port(service)) and (address := await _node(client)):
                    return address, port
        except errors.ApiError:
            return None
    return None


def balanced(service: "core.Service") -> tuple[str, int] | None:
    """The load balancer's address and the port for plain HTTP."""
    port = next((p.port for p in service.spec.ports if p.name == "http" or p.port == 80), 0)
    ingress = (service.status.get("loadBalancer") or {}).get("ingress") or []
    address = next((one.get("ip") or one.get("hostname") for one in ingress if one.get("ip") or one.get("hostname")), "")
    return (str(address), port) if address and port else None


def node_port(service: "core.Service") -> int:
    """The port on each node for plain HTTP; 0 when there is none."""
    return next((p.node_port or 0 for p in service.spec.ports if p.name == "http" or p.port == 80), 0)


async def _node(client: "Client") -> str:
    """A node's address, preferably one that is reachable from outside."""
    answer = await client.transport.request("GET", "/api/v1/nodes", query={"limit": "50"})
    if answer.status != 200:
        return ""
    ready = [node for node in answer.body.get("items") or [] if _is_ready(node)]
    for type in ("ExternalIP", "InternalIP"):
        for node in ready:
            for one in node["status"].get("addresses") or []:
                if one.get("type") == type:
                    return str(one.get("address") or "")
    return ""


def _is_ready(node: dict[str, dict[str, list[dict[str, str]]]]) -> bool:
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in node.get("status", {}).get("conditions") or [])
