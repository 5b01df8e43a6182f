"""The table from host to revision, and the split, which is exact."""

import copy
import itertools
import random
from collections.abc import Sequence

import pytest

from gateway import route
from kfn.api import names
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Route, RouteStatus, TrafficTarget
from kfn.load import RevisionKey


def _route(
    name: str, *traffic: TrafficTarget, namespace: str = "default", born: str = "2026-01-01T00:00:00Z", hosts: Sequence[str] = (),
    local: bool = False,
) -> Route:  # fmt: skip
    targets = list(traffic) or [TrafficTarget(revision_name=f"{name}-00001", percent=100)]
    url = f"http://{name}.{namespace}.{'svc.cluster.local' if local else 'example.com:8080'}"
    status = RouteStatus(url=url, traffic=targets, annotations={names.HOSTS: ",".join(hosts)} if hosts else {})
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
        assert route.build([empty]).hosts == route.Hosts()

    def test_an_own_host_beats_a_tag_and_the_elder_beats_the_younger(self) -> None:
        tagged = _route("hello", _to("t", 100, tag="new"), born="2025-01-01T00:00:00Z")
        named = _route("new-hello")
        table = route.build([tagged, named])
        assert table.hosts.local["new-hello.default"].route == ("default", "new-hello")
        assert table.contested == {"new-hello.default"}

    def test_similar_names_are_suggested(self) -> None:
        table = route.build([_route("hello"), _route("hello", namespace="prod"), _route("goodbye")])
        assert table.near("hello.staging.example.com") == ["hello.default.example.com", "hello.prod.example.com"]
        assert table.near("godbye.default.example.com") == ["goodbye.default.example.com"]
        assert table.near("unrelated.org") == []


class TestHostsOfTheUser:
    TABLE = route.build(
        [
            _route("shop", hosts=["shop.org", "*.shop.org"]),
            _route("api", hosts=["api.shop.org"]),
            _route("eu", hosts=["*.eu.shop.org"]),
            _route("other"),
        ]
    )

    @pytest.mark.parametrize(
        ("host", "name"),
        [
            pytest.param("shop.org", "shop", id="exact"),
            pytest.param("www.shop.org", "shop", id="below a wildcard"),
            pytest.param("a.b.c.shop.org", "shop", id="at any depth"),
            pytest.param("api.shop.org", "api", id="an exact name beats a wildcard"),
            pytest.param("v1.api.shop.org", "shop", id="and covers nothing below itself"),
            pytest.param("x.eu.shop.org", "eu", id="the longer wildcard beats the shorter"),
            pytest.param("eu.shop.org", "shop", id="a wildcard does not cover its own name"),
            pytest.param("shop.default", "shop", id="the generated names stay"),
        ],
    )
    def test_the_most_precise_name_counts(self, host: str, name: str) -> None:
        backend = self.TABLE.find(host)
        assert backend is not None and backend.route == ("default", name)

    @pytest.mark.parametrize("host", ["org", "xshop.org", "shop.org.evil.net", "", ".", "shop.organic", "*"])
    def test_what_only_looks_alike_does_not(self, host: str) -> None:
        assert self.TABLE.find(host) is None

    def test_they_are_split_and_tagged_as_the_route_is(self) -> None:
        table = route.build([_route("a", _to("x", 50), _to("y", 50, tag="next"), hosts=["*.org"])])
        assert table.find("a.org") is table.find("a.default.example.com")

    def test_of_two_routes_that_claim_one_the_elder_has_it(self) -> None:
        table = route.build([_route("young", hosts=["*.org"]), _route("old", hosts=["*.org"], born="2025-01-01T00:00:00Z")])
        backend = table.find("a.org")
        assert backend is not None and backend.route == ("default", "old")
        assert table.contested == {"org"}


class TestInsideAndOutside:
    TABLE = route.build([_route("open", _to("r", 100, tag="t", url="http://t-open.default.example.com")), _route("closed", local=True)])

    @pytest.mark.parametrize("host", ["closed.default", "closed.default.svc", "closed.default.svc.cluster.local", "t-open.default.svc"])
    def test_names_in_the_cluster_mean_something_only_inside(self, host: str) -> None:
        assert self.TABLE.find(host, local=True) is not None
        assert self.TABLE.find(host, local=False) is None

    @pytest.mark.parametrize("host", ["open.default.example.com", "t-open.default.example.com"])
    def test_public_names_are_known_on_both_sides(self, host: str) -> None:
        assert self.TABLE.find(host, local=True) is self.TABLE.find(host, local=False) is not None

    def test_a_cluster_local_route_has_no_name_outside_and_none_is_suggested(self) -> None:
        assert [name for name in self.TABLE.hosts.public if "closed" in name] == []
        assert self.TABLE.near("closed.default.example.com") == []


class TestTagsByHeader:
    TABLE = route.build([_route("a", _to("x", 100), _to("y", None, tag="next", url="http://next-a.default.example.com"))])

    def _ask(self, host: str, tag: bytes) -> tuple[list[str], dict[bytes, bytes]]:
        backend = self.TABLE.find(host)
        assert backend is not None
        turns, fields = route.by_tag(backend, tag)
        return [key.name for key in turns], dict(fields)

    def test_a_tag_is_chosen_on_the_routes_own_host(self) -> None:
        assert self._ask("a.default.example.com", b"next") == (["y"], {b"Knative-Serving-Tag": b"next"})

    def test_an_unknown_tag_changes_nothing_and_says_so(self) -> None:
        told = {b"Knative-Serving-Tag": b"nxt", b"Knative-Serving-Default-Route": b"true"}
        assert self._ask("a.default.example.com", b"nxt") == (["x"], told)

    def test_a_tags_own_host_is_that_tag_whatever_the_header_says(self) -> None:
        for asked in (b"", b"next", b"other"):
            assert self._ask("next-a.default.example.com", asked) == (["y"], {b"Knative-Serving-Tag": b"next"})


class TestReplacing:
    def test_a_change_gives_the_same_table_as_building_anew(self) -> None:
        rng = random.Random(7)
        routes: dict[str, Route] = {}
        table = route.build([])
        for _ in range(200):
            name = rng.choice(["a", "b", "c", "new-a"])
            own = rng.sample(["shop.org", "*.shop.org", "*.a.shop.org"], rng.choice([0, 0, 0, 1, 2]))
            old = routes.pop(name, None)
            new = None
            if rng.random() < 0.7:
                tag = rng.choice(["", "new", "old"])
                new = routes[name] = _route(
                    name, _to(f"{name}-{rng.random()}", 100), _to("t", None, tag=tag), hosts=own, local=rng.random() < 0.2
                )
            table = route.replaced(table, old, new) or route.build(routes.values())
            assert table.hosts == route.build(routes.values()).hosts

    def test_the_table_in_use_is_not_touched(self) -> None:
        before = route.build([_route("hello")])
        hosts = copy.deepcopy(before.hosts)
        route.replaced(before, None, _route("other"))
        assert before.hosts == hosts


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

    def test_the_order_in_which_a_route_lists_them_does_not_matter(self) -> None:
        targets = [_to("a", 50), _to("b", 30), _to("c", 20)]
        turns = {route.split("ns", order) for order in itertools.permutations(targets)}
        assert len(turns) == 1

    def test_a_small_share_is_spread_out(self) -> None:
        turns = route.split("ns", [_to("a", 90), _to("b", 10)])
        assert len(turns) == 10
        assert turns.count(RevisionKey("ns", "b")) == 1

    def test_two_targets_of_one_revision_add_up(self) -> None:
        assert route.split("ns", [_to("a", 50), _to("a", 50)]) == (RevisionKey("ns", "a"),)
