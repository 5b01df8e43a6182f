"""Spans to an OpenTelemetry collector, if the environment asks for it with OpenTelemetry's own variables.

`from_environment` reads what the gateway must know itself; endpoint, headers, certificates, time limits, batch sizes and the
resource are read by OpenTelemetry's SDK (the extra `kfn[otel]`), which is imported by `Exporter` and nowhere else.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kfn.observe import trace
from kfn.version import VERSION

SERVER, CLIENT, INTERNAL = "SERVER", "CLIENT", "INTERNAL"


class OtelError(Exception):
    """Traces cannot be exported as the environment says. The message names the variable or the package, and what to do."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """What is recorded. That there is one means that spans are exported."""

    sampler: trace.Sampler = field(default_factory=trace.Sampler)


@dataclass(frozen=True, slots=True)
class Span:
    """One finished span. Ids are hexadecimal digits; times are Unix times in seconds. `parent` is empty for a root."""

    name: str
    kind: str
    trace_id: bytes
    span_id: bytes
    parent: bytes
    start: float
    end: float
    attributes: dict[str, str | int | float | bool]
    failed: bool = False
    remote: bool = False  # the parent is another process's


def from_environment(environ: Mapping[str, str]) -> Tracing | None:
    """None: nothing asks for spans. Raises OtelError for what the gateway does not do."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    wanted = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if wanted == "none":
        return None
    if wanted not in ("", "otlp"):
        raise OtelError(f"OTEL_TRACES_EXPORTER={wanted}: only otlp and none are known here")
    endpoints = (environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""), environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""))
    if not wanted and not any(endpoint.strip() for endpoint in endpoints):
        return None
    for name, endpoint in zip(("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"), endpoints, strict=True):
        if endpoint.strip() and not endpoint.strip().lower().startswith(("http://", "https://")):
            raise OtelError(f"{name}={endpoint}: an http or https URL is needed, such as http://127.0.0.1:4318")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environ.get(name, "").strip().lower()
        if protocol and protocol != "http/protobuf":
            raise OtelError(f"{name}={protocol}: only http/protobuf is spoken here; collectors take it on port 4318")
        if protocol:
            break  # the one for traces goes before the general one
    try:
        return Tracing(trace.sampler(environ.get("OTEL_TRACES_SAMPLER", ""), environ.get("OTEL_TRACES_SAMPLER_ARG", "")))
    except ValueError as error:
        raise OtelError(str(error)) from None


class Exporter:
    """Takes finished spans and returns at once; the SDK's batch processor sends them from a thread of its own, and drops what is too much.

    The SDK's tracer is not used: it makes a span when it begins and keeps it in the context, which would cost every request.
    Here spans are made when all is over, with ids and times that are known already.
    """

    def __init__(self, service: str) -> None:
        """`service` is the service's name if the environment does not give one. Raises OtelError."""
        try:
            from opentelemetry import trace as api
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import ReadableSpan
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        except ImportError as error:
            raise OtelError(
                f"OTEL_* variables ask for traces, but {error.name or 'opentelemetry'} is not installed: "
                "pip install 'kfn[otel]', or set OTEL_SDK_DISABLED=true"
            ) from error
        resource = Resource.create()
        if str(resource.attributes.get("service.name", "unknown_service")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": service}))
        self._api: Any = api
        self._readable: Any = ReadableSpan
        self._resource = resource
        self._scope = InstrumentationScope("kfn", VERSION)
        try:
            self._sender = OTLPSpanExporter()
            self._processor = BatchSpanProcessor(self._sender)
        except ValueError as error:
            raise OtelError(f"OTEL_* variables: {error}") from error

    def export(self, spans: Sequence[Span]) -> None:
        for span in spans:
            self._processor.on_end(self._made(span))

    def close(self) -> threading.Event:
        """Send what is left, in a thread: a collector that does not answer must not keep the process. Set when it is done."""
        done = threading.Event()

        def flush() -> None:
            self._processor.shutdown()
            done.set()

        threading.Thread(target=flush, name="otel-flush", daemon=True).start()
        return done

    def give_up(self) -> None:
        """Do not try again to send what could not be sent."""
        self._sender.shutdown()

    def _made(self, span: Span) -> Any:
        api = self._api
        flags = api.TraceFlags(api.TraceFlags.SAMPLED)
        trace_id = int(span.trace_id, 16)
        parent = api.SpanContext(trace_id, int(span.parent, 16), span.remote, flags) if span.parent else None
        return self._readable(
            name=span.name,
            context=api.SpanContext(trace_id, int(span.span_id, 16), False, flags),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=api.SpanKind[span.kind],
            status=api.Status(api.StatusCode.ERROR) if span.failed else api.Status(),
            start_time=int(span.start * 1e9),
            end_time=int(max(span.end, span.start) * 1e9),
            instrumentation_scope=self._scope,
        )
