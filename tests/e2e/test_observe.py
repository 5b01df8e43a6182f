"""What an operator of kfn up sees of requests: the access log, traces, and where the time went."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.harness import KFN, Platform, function, run
from tests.fakes.upstream import Received, ok, upstream

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

ECHO = "def handle(request):\n    return request.headers.get('traceparent', '')\n"
FAST_ZERO = "specVersion: 0.36.0\nname: f\nruntime: python\ndeploy:\n  annotations:\n    autoscaling.knative.dev/window: 6s\n"


async def test_a_function_is_seen_from_its_cold_start_to_its_access_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[Any] = []

    async def collect(request: Received, reader: Any, writer: Any) -> bytes:
        for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
            spans.extend(span for scope in resource.scope_spans for span in scope.spans)
        return ok(b"")

    log = tmp_path / "access.log"
    async with upstream(collect) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
        platform = Platform(tmp_path / "data")
        await platform.start("--access-log", str(log))
        try:
            await platform.kfn("deploy", str(function(tmp_path / "f", ECHO, func__yaml=FAST_ZERO)))
            await platform.at_zero("f")
            cold = await platform.request("f.default.localhost")
            warm = await platform.kfn("invoke", "f", "--timing", "-p", "/warm?token=secret")
            described = (await platform.kfn("describe", "f")).out
            own = await _through_a_gateway_of_its_own(platform, tmp_path / "own.log")
        finally:
            code = await platform.stop()
    assert code == 0
    assert "Cold starts (ms):" in described and "IMPORT" in described
    assert [line.split()[0] for line in warm.err.splitlines()] == ["queue", "connect", "handler", "total"]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["path"] for line in lines if line.get("cold")][-1:] == ["/"]
    assert (lines[-1]["path"], lines[-1]["status"], lines[-1]["route"]) == ("/warm", 200, "f")
    assert "secret" not in log.read_text()
    calls = {span.span_id.hex(): span for span in spans if span.kind == span.SPAN_KIND_CLIENT}
    assert warm.out.strip().split("-")[2] in calls, "the function's parent is the gateway's span"
    assert (own["path"], own["status"], own["revision"]) == ("/own", 200, "f-00001")
    assert own["trace_id"] in {span.trace_id.hex() for span in spans}
    assert cold.text.split("-")[1] in {span.trace_id.hex() for span in spans if span.name == "import"}


async def _through_a_gateway_of_its_own(platform: Platform, log: Path) -> dict[str, Any]:
    """What `kfn gateway` logs of one request."""
    process = await asyncio.create_subprocess_exec(
        *KFN, "gateway", "--port", "0", "--admin-port", "0", "--workers", "2", "--access-log", str(log), stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": str(platform.data / "kubeconfig")},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        with anyio.fail_after(60):
            url = (await process.stdout.readline()).decode().split()[1].partition("=")[2]
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            await http.get(f"{url}/own", headers={"Host": "f.default.localhost"})
    finally:
        process.terminate()
        assert await process.wait() == 0
    (line,) = [json.loads(line) for line in log.read_text().splitlines()]
    assert isinstance(line, dict)
    return line


@pytest.mark.parametrize(
    ("flags", "environ", "says"),
    [
        (["--access-log", "/nowhere/access.log"], {}, "cannot write to /nowhere/access.log: No such file or directory (--access-log)"),
        ([], {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
    ],
)
async def test_what_cannot_be_had_ends_the_start_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], environ: dict[str, str], says: str
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    result = await run(*KFN, "up", "--port", "0", "--data-dir", str(tmp_path / "data"), *flags, timeout=60)
    assert result.code == 2
    assert says in result.err and "Traceback" not in result.err
