"""From a Route's spec to Revisions, and to urls and names."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from controller import owner
from controller.route.plan import Seen, plan
from controller.route.traffic import resolve
from controller.settings import Settings
from kfn.api import conditions, core, names
from kfn.api.meta import Condition, ObjectMeta
from kfn.api.serving import Configuration, ConfigurationStatus, Revision, RevisionStatus, Route, RouteSpec, RouteStatus, TrafficTarget

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVICE = {"serving.knative.dev/service": "hello"}


def configuration(latest: str = "", ready: str = "Unknown") -> dict[str, Configuration]:
    status = ConfigurationStatus(conditions=[Condition("Ready", ready)], latest_ready_revision_name=latest)
    return {"hello": Configuration(metadata=ObjectMeta(name="hello"), status=status)}


def revisions(**ready: str) -> dict[str, Revision]:
    return {
        name: Revision(
            metadata=ObjectMeta(name=name, labels=SERVICE if name != "theirs" else {}),
            status=RevisionStatus(conditions=[Condition("Ready", status)]),
        )
        for name, status in ready.items()
    }


def route(*traffic: TrafficTarget, serving: list[TrafficTarget] | None = None, labels: dict[str, str] | None = None) -> Route:
    meta = ObjectMeta(name="hello", namespace="ns", uid="u", generation=2, labels={**SERVICE, **(labels or {})})
    return Route(metadata=meta, spec=RouteSpec(list(traffic)), status=RouteStatus(traffic=serving or []))


LATEST = TrafficTarget(configuration_name="hello", latest_revision=True, percent=100)


def named(name: str, percent: int = 100, tag: str = "") -> TrafficTarget:
    return TrafficTarget(revision_name=name, latest_revision=False, percent=percent, tag=tag)


@pytest.mark.parametrize(
    ("there", "configurations", "known", "status", "reason"),
    [
        pytest.param(route(LATEST), {}, {}, "False", "ConfigurationMissing", id="no-configuration"),
        pytest.param(route(LATEST), configuration(), {}, "Unknown", "RevisionMissing", id="none-ready-yet"),
        pytest.param(route(LATEST), configuration(ready="False"), {}, "False", "RevisionMissing", id="none-became-ready"),
        pytest.param(route(LATEST), configuration("a", "False"), revisions(a="True"), "True", "", id="the-newest-failed-one-before-serves"),
        pytest.param(route(LATEST), configuration("a", "True"), revisions(a="False"), "True", "", id="latest-ready-keeps-serving"),
        pytest.param(route(LATEST), configuration("gone", "True"), {}, "Unknown", "RevisionMissing", id="latest-was-deleted"),
        pytest.param(route(named("a")), {}, {}, "False", "RevisionMissing", id="named-one-is-missing"),
        pytest.param(route(named("a")), {}, revisions(a="Unknown"), "Unknown", "RevisionMissing", id="named-one-is-coming"),
        pytest.param(route(named("a")), {}, revisions(a="False"), "False", "RevisionMissing", id="named-one-failed"),
        pytest.param(route(named("a"), serving=[named("a")]), {}, revisions(a="False"), "True", "", id="named-one-served-before"),
        pytest.param(route(named("theirs")), {}, revisions(theirs="True"), "False", "RevisionNotOwned", id="of-another-service"),
        pytest.param(
            route(named("a", 50), named("b", 50)), {}, revisions(a="Unknown", b="False"), "False", "RevisionMissing", id="failure-first"
        ),
    ],
)
def test_assignment(there: Route, configurations: dict[str, Configuration], known: dict[str, Revision], status: str, reason: str) -> None:
    resolved = resolve(there, configurations, known)
    assert (resolved.mark.status, resolved.mark.reason) == (status, reason)
    assert (resolved.traffic is not None) == (status == "True")
    assert status != "False" or resolved.mark.message


def test_latest_becomes_the_latest_ready_revision_beside_a_named_one() -> None:
    there = route(named("a", 90), replace(LATEST, percent=10))
    assert resolve(there, configuration("b"), revisions(a="True", b="True")).traffic == [
        named("a", 90),
        TrafficTarget(revision_name="b", latest_revision=True, percent=10),
    ]


def test_while_anything_is_unresolved_the_traffic_stays() -> None:
    there = route(named("missing"), serving=[named("a")])
    status = plan(Seen(there, revisions=revisions(a="True")), Settings(), NOW).status
    assert status.traffic == [named("a")]
    assert conditions.is_false(status.conditions, "Ready")
    assert conditions.is_true(status.conditions, "IngressReady")


def test_urls_name_the_host_the_namespace_and_the_domain() -> None:
    there = route(named("a", 100, tag="blue"))
    status = plan(Seen(there, revisions=revisions(a="True")), Settings(domain="fn.example.org", scheme="https"), NOW).status
    assert status.url == "https://hello.ns.fn.example.org"
    assert status.traffic[0].url == "https://blue-hello.ns.fn.example.org"
    assert status.address and status.address.url == "http://hello.ns.svc.cluster.local"
    assert status.observed_generation == 2


def test_a_cluster_local_route_has_no_name_outside() -> None:
    there = route(named("a", 100, tag="blue"), labels={"networking.knative.dev/visibility": "cluster-local"})
    status = plan(Seen(there, revisions=revisions(a="True")), Settings(), NOW).status
    assert status.url == "http://hello.ns.svc.cluster.local"
    assert status.traffic[0].url == "http://blue-hello.ns.svc.cluster.local"


def test_a_name_that_belongs_to_a_users_service_is_not_taken_over() -> None:
    taken = core.Service(metadata=ObjectMeta(name="hello"))
    wanted = plan(Seen(route(named("a")), revisions=revisions(a="True"), services={"hello": taken}), Settings(), NOW)
    ingress = conditions.find(wanted.status.conditions, "IngressReady")
    assert ingress and (ingress.status, ingress.reason) == ("False", "NotOwned")
    assert not wanted.services
    assert not wanted.delete


def test_a_placeholder_has_the_routes_labels_and_annotations_but_not_kubectls_own() -> None:
    there = route(named("a"), labels={"team": "web"})
    notes = {names.CREATOR: "ann", "note": "x", names.LAST_APPLIED: "{}", names.HOSTS: "a.example"}
    noted = replace(there, metadata=replace(there.metadata, annotations=notes))
    made = plan(Seen(noted, revisions=revisions(a="True")), Settings(), NOW).services[0]
    assert made.metadata.labels == {**SERVICE, "team": "web", names.ROUTE: "hello"}
    assert made.metadata.annotations == {names.CREATOR: "ann", "note": "x"}


def test_a_tags_placeholder_goes_with_the_tag_and_only_if_it_is_ours() -> None:
    there = route(named("a"))
    mine = core.Service(metadata=ObjectMeta(name="old-hello", owner_references=[owner.reference(there)]))
    theirs = core.Service(metadata=ObjectMeta(name="older-hello"))
    seen = Seen(there, revisions=revisions(a="True"), services={"old-hello": mine, "older-hello": theirs})
    wanted = plan(seen, Settings(), NOW)
    assert [s.metadata.name for s in wanted.services] == ["hello"]
    assert list(wanted.delete) == [mine]
