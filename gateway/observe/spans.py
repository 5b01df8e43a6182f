"""The spans of one request, made when it is over: the server's, the call to the instance, and the phases of a cold start.

Names and attributes are those of OpenTelemetry's semantic conventions for HTTP, and Knative's `kn.*`. Whether a request is
recorded was decided when its head was read (`kfn/observe/trace.py`); one that is not costs one comparison here.
"""

from random import getrandbits
from typing import TYPE_CHECKING

from gateway import heads
from gateway.errors import Refusal
from kfn.observe.otel import CLIENT, INTERNAL, SERVER, Exporter, Span

if TYPE_CHECKING:
    from gateway.exchange import Exchange

METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"QUERY"))

Attributes = dict[str, str | int | float | bool]


class Spans:
    """A watcher that exports them."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def ended(self, exchange: "Exchange") -> None:
        if exchange.head.parent is not None and not exchange.head.probe:
            now, wall = exchange.now()
            self._exporter.export(of(exchange, now, wall, b"%016x" % (getrandbits(64) or 1)))

    def turned_away(self, peer: bytes, why: Refusal) -> None:
        """What was no request has no trace."""


def of(exchange: "Exchange", now: float, wall: float, span_id: bytes) -> list[Span]:
    """`now` by the loop's clock is `wall` in Unix time. The span of the call to the instance has the id that the instance was told."""
    head = exchange.head
    trace_id, parent = head.trace[3:35], (head.parent or b"")[36:52]
    shift = wall - now
    began = wall if exchange.line is None else exchange.arrived + shift
    common = _common(exchange)
    failed = exchange.status >= 500 or exchange.status == 0
    if failed:
        common["error.type"] = _error(exchange)
    target = exchange.backend.route[1] if exchange.backend else ""
    method = str(common["http.request.method"]).replace("_OTHER", "HTTP")
    name = f"{method} {target}" if target else method
    spans = [Span(name, SERVER, trace_id, span_id, parent, began, wall, common | _server(exchange), failed, remote=True)]
    cold = exchange.cold
    if cold is not None and cold.record is not None:
        at = cold.record.at
        for phase, milliseconds in cold.record.phases.items():
            spans.append(Span(phase, INTERNAL, trace_id, _new(), span_id, at, at + milliseconds / 1000, {}))
            at += milliseconds / 1000
    elif exchange.sent is None and exchange.line is not None:
        spans.append(Span("queue", INTERNAL, trace_id, _new(), span_id, began, wall, {}))
    if exchange.sent is not None:
        start = exchange.sent if exchange.dialled is None else min(exchange.dialled, exchange.sent)
        spans.append(Span(method, CLIENT, trace_id, head.trace[36:52], span_id, start + shift, wall, common | _client(exchange), failed))
    return spans


def _new() -> bytes:
    return b"%016x" % (getrandbits(64) or 1)


def _common(exchange: "Exchange") -> Attributes:
    head = exchange.head
    known = head.method in METHODS
    found: Attributes = {"http.request.method": head.method.decode("latin-1") if known else "_OTHER"}
    if not known:
        found["http.request.method_original"] = heads.text(head.method)
    if exchange.status:
        found["http.response.status_code"] = exchange.status
    line = exchange.line
    if line is not None:
        found |= {"kn.revision.name": line.key.name, "k8s.namespace.name": line.key.namespace}
        if line.policy.service:
            found["kn.service.name"] = line.policy.service
        if line.policy.configuration:
            found["kn.configuration.name"] = line.policy.configuration
    if exchange.instance is not None:
        found |= {"k8s.pod.ip": exchange.instance.address.host, "k8s.pod.name": exchange.instance.name}
    return found


def _server(exchange: "Exchange") -> Attributes:
    head = exchange.head
    host, colon, port = heads.text(head.host).rpartition(":")
    found: Attributes = {
        "url.path": heads.text(heads.target(head).partition(b"?")[0]),
        "url.scheme": "https" if exchange.client.transport.get_extra_info("sslcontext") else "http",
        "server.address": host if colon and port.isdigit() else heads.text(head.host),
        "client.address": heads.text(exchange.client.peer),
        "network.protocol.version": exchange.client.version if head.modern else "1.0",
        "faas.coldstart": exchange.cold is not None,
    }
    if colon and port.isdigit():
        found["server.port"] = int(port)
    agent = heads.field(head, b"user-agent")
    if agent:
        found["user_agent.original"] = heads.text(agent)
    if exchange.backend is not None:
        found["kn.route.name"] = exchange.backend.route[1]
        if exchange.backend.tag:
            found["kn.route.tag"] = exchange.backend.tag
    return found


def _client(exchange: "Exchange") -> Attributes:
    if exchange.instance is None:
        return {}
    address = exchange.instance.address
    path = heads.text(heads.target(exchange.head).partition(b"?")[0])
    host = f"[{address.host}]" if ":" in address.host else address.host
    return {"server.address": address.host, "server.port": address.port, "url.full": f"http://{host}:{address.port}{path}"}


def _error(exchange: "Exchange") -> str:
    if exchange.refusal is not None:
        return type(exchange.refusal).__name__
    return str(exchange.status) if exchange.status else "client_gone"
