"""Which revision answers, seen from outside: splits, tags, and what a change of a Route does."""

import asyncio
import itertools
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from kfn.api.serving import TrafficTarget
from kfn.observe.web import ListenError
from tests.fakes.routed import Cluster, HttpClient, routed
from tests.fakes.upstream import Handler, Reader, Received, Writer, ok, upstream


def _named(name: str) -> Handler:
    async def answer(request: Received, reader: Reader, writer: Writer) -> bytes | None:
        return ok(name.encode())

    return answer


def _target(revision: str, percent: int | None = None, tag: str = "") -> TrafficTarget:
    return TrafficTarget(revision_name=revision, percent=percent, tag=tag, url=f"http://{tag}-hello.default.localhost" if tag else "")


async def test_a_split_is_exact_over_a_hundred_requests_on_many_connections() -> None:
    cluster = Cluster()
    cluster.route(traffic=[_target("a", 90), _target("b", 7), _target("c", 3)])
    async with AsyncExitStack() as stack, routed(cluster) as gw:
        for name in "abc":
            instance = await stack.enter_async_context(upstream(_named(name)))
            cluster.revision(name)
            cluster.instance(instance.port, name)

        async def ask(times: int) -> list[str]:
            client: HttpClient = await gw.client()
            answers = [(await client.ask("GET")).text for _ in range(times)]
            await client.close()
            return answers

        for _ in range(2):
            answers = await asyncio.gather(*(ask(25) for _ in range(4)))
            assert Counter(itertools.chain(*answers)) == {"a": 90, "b": 7, "c": 3}


async def test_a_tag_is_reached_by_its_host_and_a_rollback_takes_effect_at_once() -> None:
    cluster = Cluster()
    cluster.route(traffic=[_target("a", 100), _target("b", None, "next")])
    async with upstream(_named("a")) as a, upstream(_named("b")) as b, routed(cluster) as gw:
        for name, instance in (("a", a), ("b", b)):
            cluster.revision(name)
            cluster.instance(instance.port, name)
        assert (await gw.get()).text == "a"
        assert (await gw.get(host="next-hello.default.localhost:8080")).text == "b"
        assert (await gw.get(host="next-hello.default.svc.cluster.local")).text == "b"
        cluster.route(traffic=[_target("b", 100)])
        await gw.until(lambda: gw.gateway.chain is not None and gw.gateway.chain.table.find("next-hello.default") is None)
        assert (await gw.get()).text == "b"
        assert (await gw.get(host="next-hello.default.localhost")).status == 404


async def test_a_route_to_a_revision_that_does_not_exist_says_so() -> None:
    cluster = Cluster()
    cluster.route(traffic=[_target("gone", 100)])
    async with routed(cluster, unreachable=0.05, tick=0.01) as gw:
        answer = await gw.get()
        assert (answer.status, answer.text) == (503, "Revision default/gone does not exist.\n")


async def test_an_absolute_target_is_routed_by_its_own_host() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        answer = await gw.get("http://hello.default.localhost/path", host="unknown.example")
        assert answer.status == 200
        assert instance.received[0].line == "GET /path HTTP/1.1"


async def test_a_port_in_use_is_told_with_its_number() -> None:
    async with routed() as gw:
        with pytest.RaisesGroup(
            pytest.RaisesExc(ListenError, match=f"cannot listen on 127.0.0.1:{gw.gateway.port}"), flatten_subgroups=True
        ):
            async with routed(port=gw.gateway.port):
                raise AssertionError("two gateways on one port")
