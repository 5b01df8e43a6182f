"""Hosts of the user's own: who gets them, who does not and hears why, and what happens when their owner goes."""

import pytest
from msgspec.structs import replace

from controller.route.hosts import GRANTED, claimed, grant
from controller.settings import Settings
from kfn.api import conditions, kinds, names
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Route, Service
from tests.unit.controller.serving import Platform, a_service, platform

SETTINGS = Settings(domain="fn.example.org:8080")


def route(name: str, hosts: str, *, born: int = 1, local: bool = False) -> Route:
    labels = {names.VISIBILITY: "cluster-local"} if local else {}
    meta = ObjectMeta(
        name=name, namespace="ns", annotations={names.HOSTS: hosts}, labels=labels, creation_timestamp=f"2026-01-0{born}T00:00:00Z"
    )
    return Route(metadata=meta)


class TestGrant:
    def _grant(self, mine: Route, *others: Route) -> tuple[list[str], str, str]:
        rivals = {host: [r for r in (mine, *others) if host in claimed(r)] for host in claimed(mine)}
        found = grant(mine, rivals, SETTINGS)
        return list(found.hosts), found.mark.reason if found.mark else "none", found.mark.message if found.mark else ""

    def test_what_nobody_else_wants_is_had(self) -> None:
        assert self._grant(route("a", "shop.org, *.shop.org")) == (["shop.org", "*.shop.org"], "", "")

    def test_the_elder_has_what_two_want_and_the_younger_the_rest(self) -> None:
        old, young = route("old", "shop.org", born=1), route("young", "shop.org,else.org", born=2)
        assert self._grant(old, young) == (["shop.org"], "", "")
        assert self._grant(young, old) == (["else.org"], "HostTaken", "shop.org belongs to the older Route ns/old")

    def test_of_equally_old_ones_the_name_decides_so_that_everybody_decides_alike(self) -> None:
        a, b = route("a", "shop.org"), route("b", "shop.org")
        assert (self._grant(a, b)[0], self._grant(b, a)[0]) == (["shop.org"], [])

    @pytest.mark.parametrize("host", ["fn.example.org", "hello.other.fn.example.org", "*.fn.example.org", "*.example.org"])
    def test_the_platforms_own_domain_is_nobodys(self, host: str) -> None:
        hosts, reason, message = self._grant(route("a", f"{host},shop.org"))
        assert (hosts, reason) == (["shop.org"], "HostReserved")
        assert message == f"{host}: names in fn.example.org are the platform's own; take a host outside it"

    @pytest.mark.parametrize("host", ["example.org", "xfn.example.org", "*.else.org"])
    def test_what_only_touches_it_is_free(self, host: str) -> None:
        assert self._grant(route("a", host))[0] == [host]

    def test_a_cluster_local_route_asks_for_nothing(self) -> None:
        assert self._grant(route("a", "shop.org", local=True)) == ([], "none", "")


def _with_hosts(name: str, hosts: str) -> Service:
    service = a_service(name)
    return replace(service, metadata=replace(service.metadata, annotations={names.HOSTS: hosts} if hosts else {}))


def _has(p: Platform, name: str) -> str:
    return p.api.the(kinds.ROUTE, name).status.annotations.get(names.HOSTS, "")


async def test_a_services_hosts_come_and_go_with_its_annotation() -> None:
    async with platform() as p:
        p.apply(_with_hosts("hello", "shop.org,*.shop.org"))
        await p.settles()
        p.cluster.works("hello-00001")
        await p.settles()
        assert _has(p, "hello") == "shop.org,*.shop.org"
        assert conditions.is_true(p.api.the(kinds.ROUTE, "hello").status.conditions, GRANTED)
        assert p.ready().status == "True"
        p.apply(_with_hosts("hello", ""))
        await p.settles()
        assert _has(p, "hello") == ""
        assert conditions.find(p.api.the(kinds.ROUTE, "hello").status.conditions, GRANTED) is None


async def test_a_host_goes_to_the_next_when_its_owner_lets_go_of_it() -> None:
    async with platform() as p:
        for name in ("first", "second", "third"):
            p.apply(_with_hosts(name, "shop.org"))
            await p.settles()
            p.cluster.works(f"{name}-00001")
            await p.settles()
        assert [_has(p, name) for name in ("first", "second", "third")] == ["shop.org", "", ""]
        lost = conditions.find(p.api.the(kinds.ROUTE, "second").status.conditions, GRANTED)
        assert lost and (lost.status, lost.message) == ("False", "shop.org belongs to the older Route default/first")
        assert p.ready("second").status == "True", "its own host works"
        p.apply(_with_hosts("first", "else.org"))
        await p.settles()
        assert [_has(p, name) for name in ("first", "second", "third")] == ["else.org", "shop.org", ""]
        p.api.remove(kinds.SERVICE, "second")
        await p.settles()
        assert _has(p, "third") == "shop.org"
