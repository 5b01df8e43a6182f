"""A revision's time limits as curl sees them, over HTTP/1.1 and HTTP/2. When exactly is tested in virtual time: tests/unit/gateway."""

import asyncio

import anyio
import pytest

from tests.fakes.routed import HOST, Cluster, routed
from tests.fakes.secure import command
from tests.fakes.upstream import Reader, Received, Writer, upstream

VERSIONS = ["--http1.1", "--http2-prior-knowledge"]
SHORT = {"--http1.1": "(18)", "--http2-prior-knowledge": "(92)"}  # curl's words for a body that ends too early


async def _speaks(request: Received, reader: Reader, writer: Writer) -> bytes | None:
    """As the path says: nothing, a chunk, or a part of a sized body; and then no more."""
    answers = {
        "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
        "/sized": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\none",
        "/silent": b"",
    }
    writer.write(answers[request.line.split()[1]])
    await asyncio.Event().wait()
    return None


@pytest.mark.parametrize("version", VERSIONS)
async def test_curl_at_the_end_of_its_time(version: str) -> None:
    cluster = Cluster()
    cluster.route()
    cluster.revision(timeout_seconds=1)
    async with upstream(_speaks) as instance, routed(cluster, tick=0.02) as gw:
        cluster.instance(instance.port)

        async def curl(path: str, *more: str) -> str:
            url = f"http://127.0.0.1:{gw.gateway.port}{path}"
            return await command("curl", "-sS", version, "-H", f"Host: {HOST}", "-w", " %{http_code} %{content_type}", *more, url)

        said: dict[str, str] = {}

        async def ask(name: str, *args: str) -> None:
            said[name] = await curl(*args)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "chunked", "/chunked")
            tasks.start_soon(ask, "sized", "/sized")
            tasks.start_soon(ask, "silent", "/silent")
            tasks.start_soon(ask, "problem", "/silent", "-H", "Accept: application/json")
        assert said["chunked"] == "onerequest timeout 200 "
        assert SHORT[version] in said["sized"]
        assert "request timeout" not in said["sized"]
        assert said["silent"].startswith(
            "request timeout: revision default/hello-00001 did not begin its answer within its timeoutSeconds (1 s)"
        )
        assert said["silent"].endswith("504 text/plain; charset=utf-8")
        assert said["problem"].endswith("504 application/problem+json")
        await gw.until(lambda: gw.line().meter.concurrency == 0)
