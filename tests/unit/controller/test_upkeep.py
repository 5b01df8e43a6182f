"""Routing states, garbage collection, and what counts as a difference."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from controller import difference
from controller.gc.plan import plan as collect
from controller.labeler.plan import plan as label
from controller.settings import Settings
from kfn.api import core, names
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Configuration, ConfigurationSpec, ConfigurationStatus, Revision, Route, RouteSpec, RouteStatus, TrafficTarget
from kfn.clock import timestamp

NOW = datetime(2026, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def revision(
    state: str = "reserve", routes: str = "", *, name: str = "r-00001", age: float = 100, idle: float = 100, gc: str = ""
) -> Revision:
    annotations = {names.ROUTING_STATE_MODIFIED: timestamp(NOW - idle * HOUR), names.NO_GC: gc}
    meta = ObjectMeta(
        name=name,
        creation_timestamp=timestamp(NOW - age * HOUR),
        labels={names.ROUTING_STATE: state, names.CONFIGURATION_GENERATION: name[-5:]},
        annotations=annotations | ({names.ROUTES: routes} if routes else {}),
    )
    return Revision(metadata=meta)


def configuration(created: str = "r-00009", ready: str = "r-00009") -> Configuration:
    return Configuration(status=ConfigurationStatus(latest_created_revision_name=created, latest_ready_revision_name=ready))


def route(name: str, *, status: str = "", spec: str = "") -> Route:
    return Route(
        metadata=ObjectMeta(name=name),
        spec=RouteSpec([TrafficTarget(revision_name=spec)]),
        status=RouteStatus(traffic=[TrafficTarget(revision_name=status)]),
    )


@pytest.mark.parametrize(
    ("there", "routes", "newest", "state", "used_by"),
    [
        pytest.param(
            revision("pending"), [route("b", status="r-00001"), route("a", spec="r-00001")], True, "active", "a,b", id="gets-traffic"
        ),
        pytest.param(revision("active", "a"), [], True, "reserve", None, id="lost-its-traffic"),
        pytest.param(revision("reserve"), [route("a", spec="r-00001")], False, "active", "a", id="is-asked-back"),
        pytest.param(revision("pending"), [], False, "reserve", None, id="was-overtaken-before-it-was-ready"),
        pytest.param(
            revision("active", "a"), [route("a", status="r-00001"), route("b", status="r-00001")], True, "active", "a,b", id="second-route"
        ),
    ],
)
def test_routing_state_changes(there: Revision, routes: list[Route], newest: bool, state: str, used_by: str | None) -> None:
    patch = label(there, routes, configuration("r-00001" if newest else "r-00009"), NOW)
    assert patch is not None
    assert patch["metadata"]["labels"] == {names.ROUTING_STATE: state}
    assert patch["metadata"]["annotations"][names.ROUTES] == used_by
    changed = there.metadata.labels[names.ROUTING_STATE] != state
    assert (names.ROUTING_STATE_MODIFIED in patch["metadata"]["annotations"]) == changed


@pytest.mark.parametrize(
    ("there", "routes", "newest"),
    [
        pytest.param(revision("pending"), [], True, id="waits-for-its-first-traffic"),
        pytest.param(revision("active", "a"), [route("a", status="r-00001")], True, id="keeps-its-traffic"),
        pytest.param(revision("reserve"), [route("a", status="other")], False, id="stays-in-the-reserve"),
    ],
)
def test_routing_state_stays(there: Revision, routes: list[Route], newest: bool) -> None:
    assert label(there, routes, configuration("r-00001" if newest else "r-00009"), NOW) is None


GC = Settings(min_non_active_revisions=1, max_non_active_revisions=3)


@pytest.mark.parametrize(
    ("revisions", "gone"),
    [
        pytest.param([revision(name="r-00001")], [], id="the-minimum-stays-however-old"),
        pytest.param([revision(name="r-00001", idle=90), revision(name="r-00002", idle=80)], ["r-00001"], id="the-oldest-goes"),
        pytest.param([revision(name="r-00001", age=40, idle=30), revision(name="r-00002", idle=20)], ["r-00002"], id="but-not-the-young"),
        pytest.param([revision(name="r-00001", idle=10), revision(name="r-00002", idle=9)], [], id="nor-the-recently-active"),
        pytest.param([revision("active", name="r-00001"), revision("pending", name="r-00002")], [], id="nor-those-in-use"),
        pytest.param([revision(name="r-00001", gc="true"), revision(name="r-00002")], [], id="nor-those-marked"),
        pytest.param([revision(name="r-00009"), revision(name="r-00001")], [], id="nor-the-latest"),
        pytest.param([revision(name=f"r-0000{n}", age=1, idle=5 - n) for n in range(1, 6)], ["r-00001", "r-00002"], id="too-many-young"),
    ],
)
def test_garbage(revisions: list[Revision], gone: list[str]) -> None:
    assert sorted(r.metadata.name for r in collect(configuration(), revisions, GC, NOW).delete) == gone


def test_garbage_is_looked_for_again_when_the_next_grows_old() -> None:
    there = [revision(name="r-00001", age=47, idle=20), revision(name="r-00002", age=40, idle=10)]
    assert collect(configuration(), there, GC, NOW).look_again == 3600
    assert collect(configuration(), there[:1], GC, NOW).look_again is None


def test_fields_that_the_cluster_fills_in_are_no_difference() -> None:
    wanted = core.Service(
        metadata=ObjectMeta(name="s", labels={"a": "1"}), spec=core.ServiceSpec("ClusterIP", {"r": "x"}, [core.ServicePort(port=80)])
    )
    filled = core.ServicePort(port=80, protocol="TCP", target_port=80)
    there = replace(
        wanted,
        metadata=replace(wanted.metadata, labels={"a": "1", "b": "2"}),
        spec=replace(wanted.spec, cluster_ip="10.0.0.1", ports=[filled]),
    )
    assert difference.owned_in_part(there, wanted) is None
    other = replace(there, spec=replace(there.spec, selector={"r": "y"}))
    assert difference.owned_in_part(other, wanted) == {
        "spec": {"type": "ClusterIP", "selector": {"r": "x"}, "ports": [{"port": 80}]},
    }
    assert difference.owned_in_part(replace(there, metadata=ObjectMeta(name="s")), wanted) == {"metadata": {"labels": {"a": "1"}}}


def test_fields_left_to_others_are_neither_compared_nor_written() -> None:
    wanted = core.Deployment(metadata=ObjectMeta(name="d"), spec=core.DeploymentSpec(replicas=1, revision_history_limit=0))
    there = replace(wanted, spec=replace(wanted.spec, replicas=5))
    assert difference.owned_in_part(there, wanted, leave=("replicas",)) is None
    patch = difference.owned_in_part(replace(there, spec=core.DeploymentSpec(5)), wanted, leave=("replicas",))
    assert patch == {"spec": {"revisionHistoryLimit": 0}}


def test_a_spec_that_is_ours_alone_is_put_whole_with_its_labels_and_annotations() -> None:
    wanted = Configuration(metadata=ObjectMeta(name="c", labels={"a": "1"}, annotations={"mine": "1"}))
    assert difference.owned_whole(replace(wanted, metadata=replace(wanted.metadata, resource_version="5")), wanted) is None
    noted = replace(wanted.metadata, annotations={"mine": "1", "given up": "2"})
    assert difference.owned_whole(replace(wanted, metadata=noted), wanted) == wanted
    stale = replace(wanted, metadata=replace(noted, labels={"a": "1", "old": "x"}), spec=ConfigurationSpec())
    changed = difference.owned_whole(stale, wanted)
    assert changed is not None
    assert changed.metadata.labels == {"a": "1"}
    assert changed.metadata.annotations == {"mine": "1"}


def test_one_that_has_just_lost_its_traffic_is_left_to_gateways_that_have_yet_to_hear_of_it() -> None:
    at_once = Settings(retain_since_create_time=0, retain_since_last_active_time=0, min_non_active_revisions=0, max_non_active_revisions=0)
    just, before = revision(name="r-00001", idle=10 / 3600), revision(name="r-00002", idle=31 / 3600)
    found = collect(configuration(), [just, before], at_once, NOW)
    assert [r.metadata.name for r in found.delete] == ["r-00002"]
    assert found.look_again == 20
