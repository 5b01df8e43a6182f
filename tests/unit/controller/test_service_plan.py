"""What a Service makes, and how its state follows from its Configuration's and its Route's."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from controller import owner
from controller.service.plan import Seen, plan, wanted_configuration, wanted_route
from kfn.api import conditions, core, names
from kfn.api.meta import Condition, ObjectMeta
from kfn.api.serving import (
    Configuration,
    ConfigurationStatus,
    Revision,
    RevisionSpec,
    RevisionTemplate,
    Route,
    RouteStatus,
    Service,
    ServiceSpec,
    TrafficTarget,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATEST = TrafficTarget(latest_revision=True, percent=100)


def service(*, name: str = "", traffic: list[TrafficTarget] | None = None) -> Service:
    meta = ObjectMeta(
        name="hello",
        namespace="ns",
        uid="u",
        generation=2,
        labels={"team": "a"},
        annotations={names.LAST_APPLIED: "{}", names.CREATOR: "ann", names.ROLLOUT_DURATION: "10s"},
    )
    template = RevisionTemplate(ObjectMeta(name=name), RevisionSpec(containers=[core.Container(image="i")]))
    return Service(metadata=meta, spec=ServiceSpec(template, traffic or [LATEST]))


def configuration(of: Service, ready: str = "True", *, observed: int = 1, latest: str = "hello-00001") -> Configuration:
    made = wanted_configuration(of)
    status = ConfigurationStatus(observed, [Condition("Ready", ready, reason="R", message="M")], {}, latest, latest)
    return replace(made, metadata=replace(made.metadata, uid="c", generation=1), status=status)


def route(of: Service, ready: str = "True", *, observed: int = 1, serving: str = "hello-00001") -> Route:
    made = wanted_route(of)
    traffic = [TrafficTarget(revision_name=serving, latest_revision=True, percent=100)]
    status = RouteStatus(observed, [Condition("Ready", ready, reason="R", message="M")], url="http://hello", traffic=traffic)
    return replace(made, metadata=replace(made.metadata, generation=1), status=status)


S = service()


def test_labels_and_annotations_go_down_but_not_kubectls_own() -> None:
    made, way = wanted_configuration(S), wanted_route(S)
    assert made.metadata.labels == {"team": "a", names.SERVICE: "hello", names.SERVICE_UID: "u"}
    assert made.metadata.annotations == {names.CREATOR: "ann"}
    assert way.metadata.labels == {"team": "a", names.SERVICE: "hello"}
    assert way.metadata.annotations == {names.CREATOR: "ann", names.ROLLOUT_DURATION: "10s"}
    assert made.metadata.owner_references == [owner.reference(S)]


def test_latest_in_a_service_means_its_own_configuration() -> None:
    split = service(traffic=[TrafficTarget(revision_name="r", percent=80, tag="t"), replace(LATEST, percent=20)])
    assert wanted_route(split).spec.traffic == [
        TrafficTarget(revision_name="r", percent=80, tag="t", latest_revision=False),
        TrafficTarget(configuration_name="hello", percent=20, latest_revision=True),
    ]


@pytest.mark.parametrize(
    ("made", "way", "said"),
    [
        pytest.param(None, None, ("Unknown", "OutOfDate"), id="nothing-yet"),
        pytest.param(configuration(S), route(S), ("True", ""), id="all-is-well"),
        pytest.param(configuration(S, observed=0), route(S), ("Unknown", "OutOfDate"), id="configuration-lags"),
        pytest.param(configuration(S), route(S, observed=0), ("Unknown", "OutOfDate"), id="route-lags"),
        pytest.param(configuration(service(name="x")), route(S), ("Unknown", "OutOfDate"), id="configuration-has-the-old-template"),
        pytest.param(configuration(S, "False"), route(S), ("False", "R"), id="configuration-failed"),
        pytest.param(configuration(S), route(S, "False"), ("False", "R"), id="route-failed"),
        pytest.param(configuration(S, "Unknown"), route(S, "False"), ("False", "R"), id="failed-before-unknown"),
        pytest.param(configuration(S, "Unknown"), route(S), ("Unknown", "R"), id="revision-starts"),
        pytest.param(configuration(S, latest="hello-00002"), route(S), ("Unknown", "TrafficNotMigrated"), id="traffic-still-on-the-old"),
        pytest.param(replace(configuration(S), metadata=ObjectMeta(name="hello")), route(S), ("False", "NotOwned"), id="not-ours"),
        pytest.param(configuration(S), replace(route(S), metadata=ObjectMeta(name="hello")), ("False", "NotOwned"), id="route-not-ours"),
    ],
)
def test_ready_follows_both(made: Configuration | None, way: Route | None, said: tuple[str, str]) -> None:
    status = plan(Seen(S, made, way), NOW).status
    ready = conditions.find(status.conditions, "Ready")
    assert ready and (ready.status, ready.reason) == said
    assert status.observed_generation == 2


def test_what_is_somebody_elses_is_not_written() -> None:
    theirs = replace(configuration(S), metadata=ObjectMeta(name="hello"))
    wanted = plan(Seen(S, theirs, None), NOW)
    assert wanted.configuration is None
    assert wanted.status.latest_created_revision_name == ""


def test_children_of_a_deleted_service_of_the_same_name_are_waited_for() -> None:
    older = replace(S, metadata=replace(S.metadata, uid="older"))
    wanted = plan(Seen(S, configuration(older), route(older)), NOW)
    assert (wanted.configuration, wanted.route) == (None, None)
    ready = conditions.find(wanted.status.conditions, "Ready")
    assert ready and ready.status == "Unknown"


def test_with_a_revision_name_of_ones_own_the_route_follows_the_configuration() -> None:
    named = service(name="hello-blue", traffic=[TrafficTarget(revision_name="hello-blue", percent=100)])
    assert plan(Seen(named), NOW).route is None
    assert plan(Seen(named, configuration(named, observed=0)), NOW).route is None
    assert plan(Seen(named, configuration(named)), NOW).route is not None


def test_a_revision_name_that_is_taken_is_said_and_no_traffic_moves() -> None:
    named = service(name="hello-blue")
    wanted = plan(Seen(named, configuration(named), None, named=Revision(metadata=ObjectMeta(name="hello-blue"))), NOW)
    assert wanted.route is None
    routes = conditions.find(wanted.status.conditions, "RoutesReady")
    assert routes and (routes.status, routes.reason) == ("False", "RevisionNameTaken")
