"""The access log: a line for each request, that nobody can forge, and without secrets."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from kfn.api.serving import TrafficTarget
from kfn.observe.lines import LinesError
from tests.fakes.http2 import h2_client
from tests.fakes.routed import HOST, Cluster, routed
from tests.fakes.upstream import ok, upstream

AGENT = "curl/8"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_request_is_one_line_with_all_that_is_known(tmp_path: Path) -> None:
    cluster = Cluster()
    tagged = TrafficTarget(revision_name="hello-00001", tag="blue", url="http://blue-hello.default.localhost:8080")
    cluster.route(traffic=[TrafficTarget(revision_name="hello-00001", percent=100), tagged])
    cluster.revision()
    log = tmp_path / "access.log"
    async with upstream() as instance, routed(cluster, access_log=str(log)) as gw:
        gw.cluster.instance(instance.port)
        await gw.get()
        client = await gw.client()
        fields = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "User-Agent": AGENT, "X-Request-Id": "mine"}
        await client.ask("POST", "/a/path?token=secret", "blue-hello.default.localhost", b"12345678", **fields)
        await client.close()
    (_, line) = _lines(log)
    assert {k: v for k, v in line.items() if not k.endswith("_ms") and k != "time"} == {
        "client": "127.0.0.1",
        "status": 200,
        "method": "POST",
        "host": "blue-hello.default.localhost",
        "path": "/a/path",
        "protocol": "HTTP/1.1",
        "request_id": "mine",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "received": 8,
        "bytes": 5,
        "namespace": "default",
        "revision": "hello-00001",
        "route": "hello",
        "tag": "blue",
        "pod": f"hello-00001-pod-{instance.port}",
        "agent": AGENT,
    }
    assert line["duration_ms"] >= line.get("waited_ms", 0.0) >= 0.0
    assert "secret" not in log.read_text()


async def test_a_tag_that_was_asked_for_by_header_is_logged_if_the_route_has_it(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.route(
        traffic=[
            TrafficTarget(revision_name="hello-00001", percent=100),
            TrafficTarget(revision_name="hello-00002", tag="blue", url="http://blue-hello.default.localhost:8080"),
        ]
    )
    cluster.revision()
    cluster.revision("hello-00002")
    log = tmp_path / "access.log"
    async with upstream() as instance, upstream() as blue, routed(cluster, access_log=str(log)) as gw:
        gw.cluster.instance(instance.port)
        gw.cluster.instance(blue.port, "hello-00002")
        for tag in ("blue", "none"):
            await gw.get(Knative_Serving_Tag=tag)
    assert [(line["revision"], line.get("tag")) for line in _lines(log)] == [("hello-00002", "blue"), ("hello-00001", None)]


@pytest.mark.parametrize("paths", [["/a"] * 8, [f"/{i}" for i in range(8)]], ids=["byte-for-byte", "but-for-the-path"])
async def test_requests_that_are_equal_are_lines_of_their_own(tmp_path: Path, paths: list[str]) -> None:
    log = tmp_path / "access.log"
    async with upstream() as instance, routed(access_log=str(log)) as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        for path in paths:
            await client.ask("GET", path, User_Agent=AGENT)
        await client.close()
    lines = _lines(log)
    assert [line["request_id"] for line in lines] == [got.headers["x-request-id"] for got in instance.received]
    assert len({line["request_id"] for line in lines}) == 8
    assert [line["path"] for line in lines] == paths
    assert {(line["bytes"], line["agent"], line["pod"]) for line in lines} == {(5, AGENT, f"hello-00001-pod-{instance.port}")}


async def test_a_stream_of_http2_is_a_line_too(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with upstream() as instance, routed(access_log=str(log)) as gw:
        gw.cluster.instance(instance.port)
        async with h2_client(gw.gateway.port) as client:
            await client.ask("/p?q=1", "POST", body=b"12345678", user_agent=AGENT)
    (line,) = _lines(log)
    assert (line["protocol"], line["method"], line["path"], line["host"]) == ("HTTP/2", "POST", "/p", HOST)
    assert (line["received"], line["bytes"], line["status"], line["agent"], line["client"]) == (8, 5, 200, AGENT, "127.0.0.1")
    assert line["request_id"] == instance.received[0].headers["x-request-id"]


async def test_a_query_is_logged_only_where_that_was_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with upstream() as instance, routed(access_log=str(log), access_log_query=True) as gw:
        gw.cluster.instance(instance.port)
        await gw.get("/p?q=1")
    assert _lines(log)[0]["path"] == "/p?q=1"


async def test_cold_starts_and_refusals_say_so(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with upstream() as instance, routed(access_log=str(log)) as gw:
        waiting = asyncio.create_task(gw.get())
        await gw.until(lambda: bool(gw.sink.pokes))
        gw.cluster.instance(instance.port)
        await waiting
        await gw.get(host="unknown.example")
        client = await gw.client()
        await client.send(b"NONSENSE\r\n\r\n")
        await client.answer()
        await client.close()
    cold, unknown, nonsense = _lines(log)
    assert cold["cold"] is True and cold["waited_ms"] > 0
    assert (unknown["status"], unknown["reason"], unknown["host"]) == (404, "UnknownHost", "unknown.example")
    assert (nonsense["status"], nonsense["reason"]) == (400, "BadRequest")


async def test_a_client_that_left_is_logged_with_status_0(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with routed(access_log=str(log)) as gw:
        client = await gw.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: hello.default.localhost\r\n\r\n")
        await gw.until(lambda: bool(gw.sink.pokes))
        await client.close()
        await gw.until(lambda: gw.line().meter.concurrency == 0)
    assert _lines(log)[0]["status"] == 0


@pytest.mark.parametrize("agent", [b'x", "status": 200, "y": "', b"a\tb", "\u2028é\x9b31m".encode(), b"\\u000a", b"x" * 5000])
async def test_what_strangers_send_stays_in_its_field(tmp_path: Path, agent: bytes) -> None:
    log = tmp_path / "access.log"
    async with upstream() as instance, routed(access_log=str(log)) as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: hello.default.localhost\r\nUser-Agent: %b\r\n\r\n" % agent)
        assert (await client.answer()).status == 200
        await client.close()
    text = log.read_text()
    assert text.count("\n") == 1 and text.isascii() and text[:-1].isprintable()
    assert len(text) < 2000
    (line,) = _lines(log)
    assert line["status"] == 200 and line["agent"].startswith(agent[:1].decode("ascii", "backslashreplace"))


async def test_of_a_sample_of_none_only_what_went_wrong_is_logged(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    answers = iter([ok(), ok(status="500 Internal Server Error"), ok(status="404 Not Found")])

    async def handler(request, reader, writer) -> bytes:
        return next(answers)

    async with upstream(handler) as instance, routed(access_log=str(log), access_log_sample=0.0) as gw:
        gw.cluster.instance(instance.port)
        for _ in range(3):
            await gw.get()
        await gw.get(host="unknown.example")
    assert [line["status"] for line in _lines(log)] == [500, 404]
    assert [line.get("reason", "") for line in _lines(log)] == ["", "UnknownHost"]


async def test_a_probe_of_the_platform_is_no_request(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with routed(access_log=str(log)) as gw:
        assert (await gw.get(K_Network_Probe="probe")).status == 200
    assert log.read_text() == ""


async def test_a_log_that_cannot_be_written_keeps_the_gateway_from_starting() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with routed(access_log="/nowhere/access.log"):
            pass
    assert caught.group_contains(LinesError, match="/nowhere/access.log")
