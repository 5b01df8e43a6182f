"""A gRPC server as a function: its container's port is named h2c, and grpcio calls it through the gateway, from zero."""

import asyncio
import shutil
import sys
from pathlib import Path

import grpc
import pytest

from tests.e2e.harness import running
from tests.e2e.test_kubectl import kubectl

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on the PATH"),
]

SERVER = """
import os
from concurrent.futures import ThreadPoolExecutor

import grpc


def each(requests, context):
    for request in requests:
        yield request[::-1]


server = grpc.server(ThreadPoolExecutor(10))
handlers = {
    "Say": grpc.unary_unary_rpc_method_handler(lambda request, context: b"hello " + request),
    "Each": grpc.stream_stream_rpc_method_handler(each),
}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Greeter", handlers),))
server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
server.start()
server.wait_for_termination()
"""

SERVICE = """apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: greeter}}
spec:
  template:
    metadata: {{annotations: {{autoscaling.knative.dev/window: 6s}}}}
    spec:
      containers:
      - image: python
        command: ["{python}", "{server}"]
        ports: [{{name: h2c, containerPort: 8080}}]
"""


async def test_a_grpc_server_is_called_from_zero(tmp_path: Path) -> None:
    server = tmp_path / "server.py"
    server.write_text(SERVER)
    manifest = tmp_path / "service.yaml"
    manifest.write_text(SERVICE.format(python=sys.executable, server=server))
    async with running(tmp_path / "data") as platform:
        await kubectl(platform, "apply", "-f", str(manifest))
        await kubectl(platform, "wait", "ksvc/greeter", "--for=condition=Ready", "--timeout=60s")
        await platform.at_zero("greeter", 60)
        target = platform.facts["gateway"].removeprefix("http://")
        options = [("grpc.default_authority", "greeter.default.localhost"), ("grpc.enable_http_proxy", 0)]

        def call() -> tuple[bytes, list[bytes]]:
            with grpc.insecure_channel(target, options=options) as channel:
                say = channel.unary_unary("/test.Greeter/Say")
                each = channel.stream_stream("/test.Greeter/Each")
                return say(b"zero", timeout=30), list(each(iter([b"abc"] * 100), timeout=30))

        said, mirrored = await asyncio.to_thread(call)
        assert said == b"hello zero"
        assert mirrored == [b"cba"] * 100
