"""The table from host to revision, and the split, which is exact."""

import itertools
import random

import pytest

from gateway import route
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Route, RouteStatus, TrafficTarget
from kfn.load import RevisionKey


def _route(name: str, *traffic: TrafficTarget, namespace: str = "default", born: str = "2026-01-01T00:00:00Z") -> Route:
    targets = list(traffic) or [TrafficTarget(revision_name=f"{name}-00001", percent=100)]
    status = RouteStatus(url=f"http://{name}.{namespace}.example.com:8080", traffic=targets)
    return Route(metadata=ObjectMeta(name=name, namespace=namespace, creation_timestamp=born), status=status)


def _to(revision: str, percent: int | None, tag: str = "", url: str = "") -> TrafficTarget:
    return TrafficTarget(revision_name=revision, percent=percent, tag=tag, url=url)


class TestHosts:
    @pytest.mark.parametrize(
        "host",
        [
            b"hello.default.example.com",
            b"hello.default.example.com:8080",
            b"HELLO.Default.Example.COM",
            b"hello.default.example.com.",
            b"hello.default.example.com.:80",
            b"hello.default",
            b"hello.default.svc",
            b"hello.default.svc.cluster.local",
        ],
    )
    def test_every_spelling_of_a_host_is_known(self, host: bytes) -> None:
        backend = route.build([_route("hello")]).find(route.normal(host))
        assert backend is not None
        assert backend.turns == (RevisionKey("default", "hello-00001"),)

    @pytest.mark.parametrize("host", [b"", b"hello", b"other.default.example.com", b"hello.default.svc.cluster", b"[::1]:80", b"x\xff"])
    def test_other_hosts_are_not(self, host: bytes) -> None:
        assert route.build([_route("hello")]).find(route.normal(host)) is None

    def test_a_tag_has_hosts_of_its_own(self) -> None:
        table = route.build([_route("hello", _to("a", 100), _to("b", None, tag="new", url="http://new-hello.default.example.com"))])
        for host in ("new-hello.default.example.com", "new-hello.default.svc.cluster.local"):
            backend = table.find(host)
            assert backend is not None
            assert (backend.turns, backend.tag) == ((RevisionKey("default", "b"),), "new")

    def test_a_route_without_resolved_traffic_is_unknown(self) -> None:
        empty = Route(metadata=ObjectMeta(name="hello", namespace="default"), status=RouteStatus(url="http://hello.default.example.com"))
        assert route.build([empty]).hosts == {}

    def test_an_own_host_beats_a_tag_and_the_elder_beats_the_younger(self) -> None:
        tagged = _route("hello", _to("t", 100, tag="new"), born="2025-01-01T00:00:00Z")
        named = _route("new-hello")
        table = route.build([tagged, named])
        assert table.hosts["new-hello.default"].route == ("default", "new-hello")
        assert table.contested == {"new-hello.default"}

    def test_similar_names_are_suggested(self) -> None:
        table = route.build([_route("hello"), _route("hello", namespace="prod"), _route("goodbye")])
        assert table.near("hello.staging.example.com") == ["hello.default.example.com", "hello.prod.example.com"]
        assert table.near("godbye.default.example.com") == ["goodbye.default.example.com"]
        assert table.near("unrelated.org") == []


class TestReplacing:
    def test_a_change_gives_the_same_table_as_building_anew(self) -> None:
        rng = random.Random(7)
        routes: dict[str, Route] = {}
        table = route.build([])
        for _ in range(200):
            name = rng.choice(["a", "b", "c", "new-a"])
            old = routes.pop(name, None)
            new = None
            if rng.random() < 0.7:
                tag = rng.choice(["", "new", "old"])
                new = routes[name] = _route(name, _to(f"{name}-{rng.random()}", 100), _to("t", None, tag=tag))
            table = route.replaced(table, old, new) or route.build(routes.values())
            assert dict(table.hosts) == dict(route.build(routes.values()).hosts)

    def test_the_table_in_use_is_not_touched(self) -> None:
        before = route.build([_route("hello")])
        hosts = dict(before.hosts)
        route.replaced(before, None, _route("other"))
        assert dict(before.hosts) == hosts


class TestSplit:
    @pytest.mark.parametrize("percents", [(100,), (90, 10), (50, 50), (99, 1), (34, 33, 33), (70, 20, 7, 3), (1, 0, 99)])
    def test_any_hundred_requests_in_a_row_are_split_exactly(self, percents: tuple[int, ...]) -> None:
        turns = route.split("ns", [_to(f"r{i}", p) for i, p in enumerate(percents)])
        endless = list(itertools.islice(itertools.cycle(turns), 400))
        for start in range(300):
            window = endless[start : start + 100]
            assert [window.count(RevisionKey("ns", f"r{i}")) for i in range(len(percents))] == list(percents)

    def test_exactness_holds_for_random_splits(self) -> None:
        rng = random.Random(1)
        for _ in range(40):
            cuts = sorted(rng.sample(range(101), rng.randint(1, 5)))
            percents = [b - a for a, b in itertools.pairwise([0, *cuts, 100])]
            turns = route.split("ns", [_to(f"r{i}", p) for i, p in enumerate(percents)])
            whole = list(turns) * (100 // len(turns))
            assert [whole.count(RevisionKey("ns", f"r{i}")) for i in range(len(percents))] == percents

    def test_a_small_share_is_spread_out(self) -> None:
        turns = route.split("ns", [_to("a", 90), _to("b", 10)])
        assert len(turns) == 10
        assert turns.count(RevisionKey("ns", "b")) == 1

    def test_two_targets_of_one_revision_add_up(self) -> None:
        assert route.split("ns", [_to("a", 50), _to("a", 50)]) == (RevisionKey("ns", "a"),)
