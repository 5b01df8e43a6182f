"""Spans as a collector gets them: over real OTLP, decoded from its protobuf. And that they cost an unsampled request nothing."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from kfn.observe import otel
from tests.fakes.http2 import Request, h2_client, h2_upstream
from tests.fakes.routed import HOST, Routed, routed
from tests.fakes.upstream import Received, ok, upstream

TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = f"00-{TRACE}-b7ad6b7169203331-01"


@dataclass
class Collector:
    """An OTLP/HTTP receiver, as small as can be."""

    url: str = ""
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)

    async def receive(self, request: Received, reader: Any, writer: Any) -> bytes:
        assert request.line == "POST /v1/traces HTTP/1.1"
        assert request.headers["content-type"] == "application/x-protobuf"
        self.requests.append(ExportTraceServiceRequest.FromString(request.body))
        return ok(b"")

    @property
    def spans(self) -> list[Span]:
        return [span for r in self.requests for resource in r.resource_spans for scope in resource.scope_spans for span in scope.spans]

    @property
    def resource(self) -> dict[str, str]:
        return {a.key: a.value.string_value for a in self.requests[0].resource_spans[0].resource.attributes}

    def by_kind(self, kind: Any) -> list[Span]:
        return [span for span in self.spans if span.kind == kind]


def _attributes(span: Span) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


@asynccontextmanager
async def collecting(monkeypatch: pytest.MonkeyPatch, **environ: str) -> AsyncIterator[Collector]:
    collector = Collector()
    async with upstream(collector.receive) as receiver:
        collector.url = f"http://127.0.0.1:{receiver.port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        yield collector


@asynccontextmanager
async def traced(**settings: Any) -> AsyncIterator[Routed]:
    tracing = otel.from_environment(os.environ)
    assert tracing is not None
    async with routed(tracing=tracing, **settings) as gw:
        yield gw


async def test_a_request_is_a_server_span_and_a_client_span_whose_id_the_instance_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting(monkeypatch, OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test") as collector, upstream() as instance:
        async with traced() as gw:
            gw.cluster.instance(instance.port)
            client = await gw.client()
            await client.ask("POST", "/a?token=secret", body=b"x", traceparent=GIVEN, tracestate="a=1", User_Agent="curl/8")
            await client.close()
        (server,), (call,) = collector.by_kind(Span.SPAN_KIND_SERVER), collector.by_kind(Span.SPAN_KIND_CLIENT)
    assert collector.resource["service.name"] == "kfn-gateway"
    assert collector.resource["deployment.environment.name"] == "test"
    assert {server.trace_id.hex(), call.trace_id.hex()} == {TRACE}
    assert server.parent_span_id.hex() == "b7ad6b7169203331"
    assert call.parent_span_id == server.span_id
    assert len({call.span_id.hex(), server.span_id.hex(), "b7ad6b7169203331"}) == 3
    assert instance.received[0].headers["traceparent"] == f"00-{TRACE}-{call.span_id.hex()}-01"
    assert instance.received[0].headers["tracestate"] == "a=1"
    assert server.name == "POST hello" and call.name == "POST"
    assert server.start_time_unix_nano <= call.start_time_unix_nano <= call.end_time_unix_nano <= server.end_time_unix_nano
    told = _attributes(server)
    assert told | {"client.address": ""} == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": "/a",
        "url.scheme": "http",
        "server.address": HOST,
        "client.address": "",
        "network.protocol.version": "1.1",
        "user_agent.original": "curl/8",
        "faas.coldstart": False,
        "kn.revision.name": "hello-00001",
        "kn.route.name": "hello",
        "k8s.namespace.name": "default",
        "k8s.pod.ip": "127.0.0.1",
        "k8s.pod.name": f"hello-00001-pod-{instance.port}",
    }
    assert _attributes(call)["server.port"] == instance.port
    assert _attributes(call)["url.full"] == f"http://127.0.0.1:{instance.port}/a"


async def test_requests_that_are_equal_byte_for_byte_have_spans_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting(monkeypatch) as collector, upstream() as instance:
        async with traced() as gw:
            gw.cluster.instance(instance.port)
            client = await gw.client()
            for _ in range(8):
                await client.ask("GET")
            await client.close()
        calls = {f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01" for span in collector.by_kind(Span.SPAN_KIND_CLIENT)}
    assert calls == {got.headers["traceparent"] for got in instance.received}
    assert len(calls) == 8


async def test_a_stream_of_http2_is_recorded_as_any_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting(monkeypatch) as collector, upstream() as instance:
        async with traced() as gw, h2_client(gw.gateway.port) as client:
            gw.cluster.instance(instance.port)
            await client.ask(traceparent=GIVEN)
        (server,), (call,) = collector.by_kind(Span.SPAN_KIND_SERVER), collector.by_kind(Span.SPAN_KIND_CLIENT)
    assert server.parent_span_id.hex() == "b7ad6b7169203331"
    assert instance.received[0].headers["traceparent"] == f"00-{TRACE}-{call.span_id.hex()}-01"
    assert _attributes(server)["network.protocol.version"] == "2"


async def test_an_instance_of_http2_gets_the_id_of_its_calls_span(monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(request: Request) -> None:
        request.head(end=False)
        await request.data(request.headers[b"traceparent"], end=True)

    async with collecting(monkeypatch) as collector, h2_upstream(tell) as instance:
        async with traced() as gw:
            gw.cluster.instance(instance.port, name="h2c")
            told = (await gw.get()).text
        (call,) = collector.by_kind(Span.SPAN_KIND_CLIENT)
    assert told == f"00-{call.trace_id.hex()}-{call.span_id.hex()}-01"


async def test_a_cold_starts_phases_are_children_that_follow_on_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting(monkeypatch) as collector, upstream() as instance:
        async with traced() as gw:
            waiting = asyncio.create_task(gw.get())
            await gw.until(lambda: bool(gw.sink.pokes))
            gw.cluster.instance(instance.port)
            await waiting
        (server,) = collector.by_kind(Span.SPAN_KIND_SERVER)
        phases = collector.by_kind(Span.SPAN_KIND_INTERNAL)
    assert server.parent_span_id == b""
    assert [span.name for span in phases] == ["queue", "scale", "start", "import", "ready", "handler"]
    assert {span.parent_span_id for span in phases} == {server.span_id}
    assert all(a.end_time_unix_nano == pytest.approx(b.start_time_unix_nano, abs=2000) for a, b in pairwise(phases))
    assert _attributes(server)["faas.coldstart"] is True


@pytest.mark.parametrize(
    ("status", "error", "code"), [(500, "500", Status.STATUS_CODE_ERROR), (404, None, Status.STATUS_CODE_UNSET)], ids=["500", "404"]
)
async def test_only_a_servers_fault_is_an_error(monkeypatch: pytest.MonkeyPatch, status: int, error: str | None, code: Any) -> None:
    async def handler(request: Received, reader: Any, writer: Any) -> bytes:
        return ok(status=f"{status} X")

    async with collecting(monkeypatch) as collector, upstream(handler) as instance:
        async with traced() as gw:
            gw.cluster.instance(instance.port)
            await gw.get()
        (server,) = collector.by_kind(Span.SPAN_KIND_SERVER)
    assert server.status.code == code
    assert _attributes(server).get("error.type") == error


async def test_a_refusal_is_named_and_has_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting(monkeypatch) as collector:
        async with traced(wait=0.05, tick=0.01) as gw:
            assert (await gw.get()).status == 504
            assert (await gw.get(host="unknown.example")).status == 404
        in_time, unknown = collector.by_kind(Span.SPAN_KIND_SERVER)
        assert collector.by_kind(Span.SPAN_KIND_CLIENT) == []
    assert _attributes(in_time)["error.type"] == "NotInTime"
    assert in_time.name == "GET hello" and unknown.name == "GET"


async def test_what_is_not_sampled_is_passed_on_unchanged_and_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    unsampled = GIVEN[:-2] + "00"
    async with collecting(monkeypatch) as collector, upstream() as instance, traced() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.ask("GET", traceparent=unsampled)
        await client.close()
    assert instance.received[0].headers["traceparent"] == unsampled
    assert collector.requests == []


async def test_a_method_that_is_not_known_does_not_become_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting(monkeypatch) as collector, upstream() as instance:
        async with traced() as gw:
            gw.cluster.instance(instance.port)
            client = await gw.client()
            await client.ask("PROPFIND")
            await client.close()
        (server,) = collector.by_kind(Span.SPAN_KIND_SERVER)
    assert server.name == "HTTP hello"
    assert _attributes(server)["http.request.method"] == "_OTHER"
    assert _attributes(server)["http.request.method_original"] == "PROPFIND"


async def test_a_collector_that_is_away_neither_harms_requests_nor_keeps_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"http://127.0.0.1:{port}/v1/traces")
    async with upstream() as instance, traced(flush=0.2) as gw:
        gw.cluster.instance(instance.port)
        assert (await gw.get()).status == 200


class TestConfiguration:
    @pytest.mark.parametrize(
        "environ",
        [
            {},
            {"OTEL_SERVICE_NAME": "x"},
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"},
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
            {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        ],
    )
    def test_without_an_endpoint_or_switched_off_there_is_none(self, environ: dict[str, str]) -> None:
        assert otel.from_environment(environ) is None

    @pytest.mark.parametrize(
        "environ",
        [
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"},
            {"OTEL_TRACES_EXPORTER": "otlp"},  # to the default, localhost:4318
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
        ],
    )
    def test_an_endpoint_is_enough(self, environ: dict[str, str]) -> None:
        assert otel.from_environment(environ) is not None

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_SAMPLER", "xray"),
            ("OTEL_TRACES_SAMPLER_ARG", "lots"),
        ],
    )
    def test_what_is_not_done_here_is_named(self, name: str, value: str) -> None:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_SAMPLER": "traceidratio", name: value}
        with pytest.raises(otel.OtelError, match=f"{name}={value}"):
            otel.from_environment(environ)

    def test_a_missing_package_is_named_with_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in [m for m in sys.modules if m.startswith("opentelemetry.exporter")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
        with pytest.raises(otel.OtelError, match=r"pip install 'kfn\[otel\]'"):
            otel.Exporter("x")
