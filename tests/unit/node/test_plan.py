"""The Deployment controller's decisions."""

import msgspec
import pytest

from embedded.node.plan import DELETION_COST, HASH, Plan, plan, status, template_hash
from kfn.api.core import Container, Deployment, DeploymentSpec, Pod, PodCondition, PodSpec, PodStatus, PodTemplateSpec
from kfn.api.meta import ObjectMeta

NEW = PodTemplateSpec(spec=PodSpec(containers=[Container(name="user-container", image="a@2")]))
OLD = PodTemplateSpec(spec=PodSpec(containers=[Container(name="user-container", image="a@1")]))


def deployment(replicas: int | None, **spec: object) -> Deployment:
    return Deployment(metadata=ObjectMeta(name="d", generation=3), spec=DeploymentSpec(replicas=replicas, template=NEW, **spec))  # type: ignore[arg-type]


def pod(name: str, *, ready: bool = True, template: PodTemplateSpec = NEW, made: int = 0, cost: str = "", phase: str = "Running") -> Pod:
    meta = ObjectMeta(
        name=name, labels={HASH: template_hash(template)}, creation_timestamp=f"2026-01-01T00:00:{made:02d}Z",
        annotations={DELETION_COST: cost} if cost else {},
    )  # fmt: skip
    return Pod(metadata=meta, status=PodStatus(phase=phase, conditions=[PodCondition("Ready", "True" if ready else "False")]))


def terminating(one: Pod) -> Pod:
    return msgspec.structs.replace(one, metadata=msgspec.structs.replace(one.metadata, deletion_timestamp="2026-01-01T00:00:00Z"))


def test_no_replicas_given_means_one() -> None:
    assert plan(deployment(None), []) == Plan(1, ())


def test_scale_from_zero_makes_all_pods_at_once() -> None:
    assert plan(deployment(16), []) == Plan(16, ())


def test_a_satisfied_deployment_is_left_alone() -> None:
    assert plan(deployment(1), [pod("a")]) == Plan(0, ())


def test_terminating_pods_count_for_nothing() -> None:
    assert plan(deployment(1), [terminating(pod("a"))]) == Plan(1, ())


def test_failed_pods_are_replaced_and_removed() -> None:
    assert plan(deployment(1), [pod("a", ready=False, phase="Failed")]) == Plan(1, ("a",))


def test_a_deployment_that_is_being_deleted_loses_its_pods() -> None:
    going = deployment(2)
    going = msgspec.structs.replace(going, metadata=msgspec.structs.replace(going.metadata, deletion_timestamp="2026-01-01T00:00:00Z"))
    assert set(plan(going, [pod("a"), pod("b")]).delete) == {"a", "b"}


@pytest.mark.parametrize(
    ("pods", "first"),
    [
        pytest.param([pod("a"), pod("b", ready=False), pod("c")], "b", id="not ready goes first"),
        pytest.param([pod("a", cost="5"), pod("b", cost="-1"), pod("c")], "b", id="then the cheapest"),
        pytest.param([pod("a", made=1), pod("b", made=3), pod("c", made=2)], "b", id="then the newest"),
        pytest.param([pod("a", cost="x"), pod("b", made=1)], "b", id="a cost that is no number is zero"),
    ],
)
def test_scale_down_order(pods: list[Pod], first: str) -> None:
    assert plan(deployment(len(pods) - 1), pods) == Plan(0, (first,))


@pytest.mark.parametrize(
    ("pods", "first"),
    [
        pytest.param([pod("a", made=3), pod("b", made=1), pod("c", made=2)], "b", id="the idle one goes before busy ones that are newer"),
        pytest.param([pod("a", made=3), pod("c", made=2)], "c", id="else the one with least to finish"),
        pytest.param([pod("a"), pod("c", ready=False)], "c", id="one that is not ready goes before any"),
        pytest.param([pod("a", cost="-1"), pod("b")], "a", id="what the user says counts more"),
    ],
)
def test_who_goes_depends_on_what_is_under_way(pods: list[Pod], first: str) -> None:
    assert plan(deployment(len(pods) - 1), pods, {"a": 7, "c": 2}) == Plan(0, (first,))


def test_a_new_template_starts_a_successor_before_the_old_pod_goes() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}
    rolling = deployment(1, strategy=strategy)
    old = pod("old", template=OLD)
    assert plan(rolling, [old]) == Plan(1, ())
    assert plan(rolling, [old, pod("new", ready=False)]) == Plan(0, ())
    assert plan(rolling, [old, pod("new")]) == Plan(0, ("old",))


def test_with_recreate_old_pods_go_first() -> None:
    assert plan(deployment(1, strategy={"type": "Recreate"}), [pod("old", template=OLD)]) == Plan(1, ("old",))


def test_a_rolling_replacement_never_drops_below_what_is_wanted() -> None:
    """Simulated to its end: every pod made becomes ready a step later."""
    strategy = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    rolling, pods, made = deployment(4, strategy=strategy), [pod(f"old{i}", template=OLD) for i in range(4)], 0
    for _ in range(20):
        decided = plan(rolling, pods)
        pods = [p for p in pods if p.metadata.name not in decided.delete]
        assert sum(p.status.conditions[0].status == "True" for p in pods) >= 4
        assert len(pods) + decided.create <= 5
        pods = [pod(p.metadata.name, template=OLD if p.metadata.name.startswith("old") else NEW) for p in pods]
        pods += [pod(f"new{made + i}", ready=False) for i in range(decided.create)]
        made += decided.create
    assert [p.metadata.name for p in pods] == ["new0", "new1", "new2", "new3"]


def test_a_stuck_old_pod_is_replaced_at_once() -> None:
    """A pod of a broken template that never became ready must not hold up its successor."""
    rolling = deployment(1, strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    assert plan(rolling, [pod("old", ready=False, template=OLD)]).create == 1


def test_status_counts_and_conditions() -> None:
    found = status(deployment(2), [pod("a"), pod("b", ready=False), terminating(pod("c"))], "2026-01-01T00:00:00Z")
    assert (found.replicas, found.ready_replicas, found.available_replicas, found.unavailable_replicas) == (2, 1, 1, 1)
    assert found.terminating_replicas == 1
    assert found.observed_generation == 3
    assert [(c.type, c.status, c.reason) for c in found.conditions] == [
        ("Available", "False", "MinimumReplicasUnavailable"),
        ("Progressing", "True", "ReplicaSetUpdated"),
    ]


def test_a_condition_keeps_its_time_while_nothing_changes() -> None:
    first = status(deployment(1), [pod("a")], "2026-01-01T00:00:00Z")
    second = status(msgspec.structs.replace(deployment(1), status=first), [pod("a")], "2026-01-01T00:00:09Z")
    assert second == first


def test_progress_is_given_up_after_its_deadline() -> None:
    waiting = deployment(1, progress_deadline_seconds=60)
    begun = status(waiting, [pod("a", ready=False)], "2026-01-01T00:00:00Z")
    later = status(msgspec.structs.replace(waiting, status=begun), [pod("a", ready=False)], "2026-01-01T00:01:01Z")
    progressing = later.conditions[1]
    assert (progressing.status, progressing.reason) == ("False", "ProgressDeadlineExceeded")
    assert progressing.message == 'Deployment "d" has timed out progressing.'
    recovered = status(msgspec.structs.replace(waiting, status=later), [pod("a")], "2026-01-01T00:02:00Z")
    assert recovered.conditions[1].status == "True"


def test_scaling_up_a_complete_deployment_is_not_a_rollout() -> None:
    complete = status(deployment(0), [], "2026-01-01T00:00:00Z")
    scaled = msgspec.structs.replace(deployment(1, progress_deadline_seconds=1), status=complete)
    assert status(scaled, [pod("a", ready=False)], "2026-01-02T00:00:00Z").conditions[1].reason == "NewReplicaSetAvailable"
