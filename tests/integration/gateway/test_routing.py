"""Which revision answers, seen from outside: splits, tags, and what a change of a Route does."""

import asyncio
import itertools
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial

import pytest

from kfn.api.serving import TrafficTarget
from kfn.observe.web import ListenError
from tests.fakes.routed import Cluster, HttpClient, routed
from tests.fakes.upstream import Handler, Reader, Received, Upstream, Writer, ok, upstream


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
        await gw.until(lambda: not gw.knows("next-hello.default"))
        assert (await gw.get()).text == "b"
        assert (await gw.get(host="next-hello.default.localhost")).status == 404


async def test_a_split_stays_exact_across_changes_that_leave_it_as_it_was() -> None:
    cluster = Cluster()
    cluster.route(traffic=[_target("a", 70), _target("b", 29), _target("c", 1)])
    async with AsyncExitStack() as stack, routed(cluster) as gw:
        for name in "abc":
            instance = await stack.enter_async_context(upstream(_named(name)))
            cluster.revision(name)
            cluster.instance(instance.port, name)
        client = await gw.client()
        answers = []
        for turn in range(250):
            answers.append(
                (await client.ask("GET", host=("hello.default.localhost", "hello.default.svc", "hello.shop.org")[turn % 3])).text
            )
            if turn % 7 == 0:  # other routes come and go, and this one is written anew, in another order, with more names
                targets = [_target("c", 1), _target("a", 70), _target("b", 29), _target("b", None, f"t{turn}")]
                cluster.route(traffic=targets[turn % 3 :] + targets[: turn % 3], hosts="*.shop.org")
                cluster.route(f"other{turn}", [_target("a", 100)])
                await gw.until(partial(gw.knows, f"other{turn}.default"))
        await client.close()
        for start in range(150):
            assert Counter(answers[start : start + 100]) == {"a": 70, "b": 29, "c": 1}


async def _tagged(cluster: Cluster, stack: AsyncExitStack) -> dict[str, Upstream]:
    """Revisions a (all traffic) and b (tagged)."""
    cluster.route(traffic=[_target("a", 100), _target("b", None, "next")])
    instances = {}
    for name in "ab":
        instances[name] = await stack.enter_async_context(upstream(_named(name)))
        cluster.revision(name)
        cluster.instance(instances[name].port, name)
    return instances


TAG, DEFAULT = "knative-serving-tag", "knative-serving-default-route"


async def test_a_tag_is_reached_by_header_on_the_routes_own_host() -> None:
    cluster = Cluster()
    async with AsyncExitStack() as stack, routed(cluster) as gw:
        instances = await _tagged(cluster, stack)
        assert (await gw.get(Knative_Serving_Tag="next")).text == "b"
        assert (await gw.get(Knative_Serving_Tag="nxt")).text == "a"
        assert (await gw.get(host="next-hello.default.localhost", Knative_Serving_Tag="other")).text == "b"
        assert (await gw.get()).text == "a"
        told = [{name: value for name, value in r.headers.items() if name in (TAG, DEFAULT)} for i in "ab" for r in instances[i].received]
        assert told == [{TAG: "nxt", DEFAULT: "true"}, {}, {TAG: "next"}, {TAG: "next"}]


async def test_a_tag_header_is_only_passed_on_where_that_is_off() -> None:
    cluster = Cluster()
    async with AsyncExitStack() as stack, routed(cluster, tag_header=False) as gw:
        instances = await _tagged(cluster, stack)
        assert (await gw.get(Knative_Serving_Tag="next")).text == "a"
        assert instances["a"].received[0].headers[TAG] == "next"
        assert DEFAULT not in instances["a"].received[0].headers


async def test_one_revision_of_the_service_is_reached_from_inside_whether_it_gets_traffic_or_not() -> None:
    cluster = Cluster()
    cluster.route(traffic=[_target("new", 100)])
    async with AsyncExitStack() as stack, routed(cluster, local_port=0) as gw:
        for name, service in (("old", "hello"), ("new", "hello"), ("foreign", "other")):
            instance = await stack.enter_async_context(upstream(_named(name)))
            cluster.revision(name, service=service)
            cluster.instance(instance.port, name)
            if name == "old":
                old = instance
        inside, host = await HttpClient.connect(gw.gateway.local_port), "hello.default.svc.cluster.local"
        assert (await inside.ask("GET", host=host, Kfn_Revision="old")).text == "old"
        assert (await inside.ask("GET", host=host)).text == "new"
        assert "kfn-revision" not in old.received[0].headers
        for name in ("foreign", "none"):
            answer = await inside.ask("GET", host=host, Kfn_Revision=name)
            assert (answer.status, f"no Revision {name} any more" in answer.text) == (410, True)
        await inside.close()
        assert (await gw.get(Kfn_Revision="old")).text == "new", "whoever is outside has no choice"


async def test_a_request_with_a_tag_and_a_body_arrives_whole() -> None:
    cluster = Cluster()
    async with AsyncExitStack() as stack, routed(cluster) as gw:
        instances = await _tagged(cluster, stack)
        client = await gw.client()
        assert (await client.ask("POST", body=b"x" * 5000, Knative_Serving_Tag="next")).text == "b"
        await client.close()
        assert instances["b"].received[0].body == b"x" * 5000


async def test_what_knatives_parts_tell_each_other_means_nothing_from_a_stranger() -> None:
    cluster = Cluster()
    async with AsyncExitStack() as stack, routed(cluster) as gw:
        instances = await _tagged(cluster, stack)
        told = {"Knative_Serving_Revision": "b", "Knative_Serving_Namespace": "default", "Knative_Serving_Default_Route": "false"}
        assert (await gw.get(**told)).text == "a"
        assert not [name for name in instances["a"].received[0].headers if name.startswith("knative-")]


async def test_hosts_of_the_users_own_lead_to_the_route() -> None:
    cluster = Cluster()
    cluster.route(hosts="shop.org,*.shop.org")
    cluster.revision()
    async with upstream() as instance, routed(cluster) as gw:
        cluster.instance(instance.port)
        for host in ("shop.org", "Shop.ORG:8080", "a.b.shop.org"):
            assert (await gw.get(host=host)).status == 200
        assert (await gw.get(host="shop.org.evil.net")).status == 404
        cluster.route()
        await gw.until(lambda: not gw.knows("shop.org"))
        for host in ("shop.org", "a.b.shop.org"):
            assert (await gw.get(host=host)).status == 404, "what was looked up before the change is forgotten"


async def test_names_in_the_cluster_mean_nothing_on_the_public_port_when_they_have_one_of_their_own() -> None:
    cluster = Cluster()
    cluster.route("closed", [_target("a", 100)], domain="svc.cluster.local")
    cluster.route("open", [_target("a", 100)])
    cluster.revision("a")
    async with upstream(_named("a")) as instance, routed(cluster, local_port=0) as gw:
        cluster.instance(instance.port, "a")
        assert gw.gateway.local_port != gw.gateway.port
        for port, host, status in [
            (gw.gateway.port, "open.default.localhost", 200),
            (gw.gateway.port, "open.default.svc.cluster.local", 404),
            (gw.gateway.port, "closed.default.svc.cluster.local", 404),
            (gw.gateway.port, "closed.default.svc", 404),
            (gw.gateway.port, "closed.default", 404),
            (gw.gateway.port, "closed.default.localhost", 404),
            (gw.gateway.local_port, "closed.default.svc.cluster.local", 200),
            (gw.gateway.local_port, "closed.default", 200),
            (gw.gateway.local_port, "open.default.localhost", 200),
            (gw.gateway.port, "closed.default.svc.cluster.local", 404),
        ]:
            client = await HttpClient.connect(port)
            assert (await client.ask("GET", host=host)).status == status, (port == gw.gateway.port, host)
            absolute = await client.ask("GET", f"http://{host}/", host="open.default.localhost")
            assert absolute.status == status, "what counts is the target"
            await client.close()


async def test_spellings_of_a_host_do_not_fill_the_memory() -> None:
    async with upstream() as instance, routed() as gw:
        gw.cluster.instance(instance.port)
        client = await gw.client()
        for length in range(0, 3000, 100):
            assert (await client.ask("GET", host=f"hello.default.localhost:{'0' * length}80")).status == 200
        await client.close()
        assert gw.gateway.chain is not None
        assert sum(len(spelled) for found in gw.gateway.chain._found for spelled in found) < 1000


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
