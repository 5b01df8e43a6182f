"""What an operator sees: health, readiness, numbers, cold starts."""

import asyncio

import httpx

from gateway import admin
from tests.fakes.routed import Routed, routed
from tests.fakes.upstream import upstream
from tests.unit.gateway.test_metrics import follows_the_rules


async def _get(gw: Routed, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=admin.app(gw.gateway))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        return await client.get(path)


async def test_numbers_are_in_prometheus_form() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        for _ in range(3):
            await gw.get()
        await gw.get(host="unknown.example")
        text = (await _get(gw, "/metrics")).text
        labels = 'namespace_name="default",revision_name="hello-00001"'
        assert {"process_cpu_seconds", "kfn_gateway_requests"} <= follows_the_rules(text)
        assert f'kfn_gateway_requests_total{{{labels},code="200"}} 3\n' in text
        assert f'kfn_gateway_request_seconds_bucket{{{labels},le="+Inf"}} 3\n' in text
        assert f"kfn_gateway_active_requests{{{labels}}} 0\n" in text
        assert 'kfn_gateway_refused_requests_total{namespace_name="",revision_name="",code="404",reason="UnknownHost"} 1\n' in text


async def test_cold_starts_are_listed_by_revision() -> None:
    async with upstream() as instance, routed() as gw:
        waiting = asyncio.create_task(gw.get())
        await gw.until(lambda: bool(gw.sink.pokes))
        gw.cluster.instance(instance.port)
        await waiting
        one = (await _get(gw, "/cold-starts?revision=default/hello-00001")).json()["default/hello-00001"]
        assert [list(start["phases"]) for start in one] == [["queue", "scale", "start", "import", "ready", "handler"]]
        assert list((await _get(gw, "/cold-starts")).json()) == ["default/hello-00001"]
        assert (await _get(gw, "/cold-starts?revision=other/one")).json() == {"other/one": []}
        assert (await _get(gw, "/cold-starts?revision=nonsense")).status_code == 400


async def test_a_stopping_gateway_is_alive_but_not_ready() -> None:
    async with routed() as gw:
        assert (await _get(gw, "/readyz")).status_code == 200
        gw.gateway.stop()
        await gw.until(lambda: not gw.gateway.ready)
        assert (await _get(gw, "/readyz")).status_code == 503
        assert (await _get(gw, "/healthz")).status_code == 200


async def test_whoever_delays_a_pods_end_is_answered_when_it_is_on_its_way_out_and_idle() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        await gw.get()
        question = f"/drained?namespace=default&pod=hello-00001-pod-{instance.port}"
        not_yet = await _get(gw, f"{question}&timeout=0")
        assert (not_yet.status_code, "requests still go to" in not_yet.text) == (503, True)
        assert gw.line().usable, "who asks changes nothing"
        waiting = asyncio.create_task(_get(gw, f"{question}&timeout=30"))
        gw.cluster.instance(instance.port, terminating=True)
        done = await waiting
        assert (done.status_code, done.text) == (200, "drained\n")
        for wrong in ("", "?namespace=default", "?namespace=a&pod=b&timeout=x", "?namespace=a&pod=b&timeout=100000", "?pod=b&timeout=-1"):
            assert (await _get(gw, f"/drained{wrong}")).status_code == 400
