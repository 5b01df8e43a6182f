"""A Revision's conditions, from every kind of pod."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from controller import marks, owner
from controller.revision import resources
from controller.revision.plan import Seen, plan
from controller.settings import Settings
from kfn.api import conditions, core
from kfn.api.meta import Condition, ObjectMeta
from kfn.api.serving import Revision, RevisionSpec, RevisionStatus
from kfn.clock import timestamp

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SETTINGS = Settings()
IMAGE = "registry.example/hello:1"
REVISION = Revision(
    metadata=ObjectMeta(name="r", namespace="default", uid="u", generation=1, creation_timestamp=timestamp(NOW - timedelta(seconds=60))),
    spec=RevisionSpec(containers=[core.Container(name="user-container", image=IMAGE)]),
)


def deployment(replicas: int = 1, *said: core.DeploymentCondition) -> core.Deployment:
    there = resources.deployment(REVISION, SETTINGS)
    return replace(there, spec=replace(there.spec, replicas=replicas), status=core.DeploymentStatus(conditions=list(said)))


def pod(
    *, ready: bool = False, said: str = "", waiting: tuple[str, str] | None = None, exit_code: int | None = None, log: str = "",
    running_for: float | None = None, leaving: bool = False, phase: str = "Running", reason: str = "",
) -> core.Pod:  # fmt: skip
    since = timestamp(NOW - timedelta(seconds=running_for or 0))
    running = core.ContainerStateRunning(since) if running_for is not None else None
    ended = None if exit_code is None else core.ContainerStateTerminated(exit_code, message=log)
    state = core.ContainerState(waiting=core.ContainerStateWaiting(*waiting) if waiting else None, running=running)
    status = core.ContainerStatus("user-container", ready=ready, state=state, last_state=core.ContainerState(terminated=ended))
    return core.Pod(
        metadata=ObjectMeta(name="p", deletion_timestamp=timestamp(NOW) if leaving else ""),
        status=core.PodStatus(
            phase=phase,
            reason=reason,
            conditions=[core.PodCondition("ContainersReady", str(ready), message=said), core.PodCondition("Ready", str(ready))],
            container_statuses=[status],
        ),
    )


UNPLACED = core.Pod(status=core.PodStatus("Pending", [core.PodCondition("PodScheduled", "False", "Unschedulable", "no GPU is free")]))
WAS_READY = [marks.true("ResourcesAvailable"), marks.true("ContainerHealthy")]
HAD_FAILED = [marks.true("ResourcesAvailable"), marks.false("ContainerHealthy", "ExitCode1", "boom")]
STUCK = core.DeploymentCondition("Progressing", "False", "ProgressDeadlineExceeded", "it has timed out progressing")
NO_QUOTA = core.DeploymentCondition("ReplicaFailure", "True", "FailedCreate", "exceeded quota")

TABLE = [
    # before, Deployment, pods -> Ready, its reason, Active
    pytest.param([], None, [], ("Unknown", "Deploying", "Unknown"), id="nothing-is-there-yet"),
    pytest.param([], deployment(), [pod(ready=True)], ("True", "", "True"), id="an-instance-works"),
    pytest.param([], deployment(), [pod(exit_code=3, log="boom")], ("False", "ExitCode3", "False"), id="it-exits"),
    pytest.param([], deployment(), [pod(exit_code=0)], ("False", "ExitCode0", "False"), id="it-exits-in-peace"),
    pytest.param(
        [], deployment(), [pod(exit_code=1, running_for=1)], ("False", "ExitCode1", "False"), id="it-is-tried-again-after-a-crash"
    ),
    pytest.param([], deployment(), [pod(ready=True), pod(exit_code=1)], ("True", "", "True"), id="one-of-two-works"),
    pytest.param([], deployment(), [pod(exit_code=1, leaving=True)], ("Unknown", "Deploying", "Unknown"), id="one-that-is-leaving"),
    pytest.param(
        [], deployment(), [pod(waiting=("ImagePullBackOff", "x"))], ("False", "ImagePullBackOff", "False"), id="its-image-is-not-there"
    ),
    pytest.param([], deployment(), [pod(waiting=("ContainerCreating", ""))], ("Unknown", "Deploying", "Unknown"), id="it-is-being-made"),
    pytest.param([], deployment(), [pod(running_for=5)], ("Unknown", "Deploying", "Unknown"), id="it-is-starting"),
    pytest.param([], deployment(), [pod(running_for=31)], ("False", "ContainerNotReady", "False"), id="it-never-listens"),
    pytest.param([], deployment(), [UNPLACED], ("Unknown", "Unschedulable", "Unknown"), id="there-is-no-room"),
    pytest.param([], deployment(1, STUCK), [UNPLACED], ("Unknown", "Unschedulable", "Unknown"), id="there-is-no-room-for-long"),
    pytest.param([], deployment(1, STUCK), [], ("False", "ProgressDeadlineExceeded", "Unknown"), id="nothing-came-of-it"),
    pytest.param([], deployment(1, STUCK), [pod(exit_code=2)], ("False", "ExitCode2", "False"), id="the-crash-says-more-than-the-deadline"),
    pytest.param([], deployment(1, NO_QUOTA), [], ("False", "FailedCreate", "Unknown"), id="no-quota"),
    pytest.param(
        [], deployment(), [pod(phase="Failed", reason="Evicted", exit_code=137)], ("Unknown", "Deploying", "Unknown"), id="evicted"
    ),
    pytest.param([], deployment(), [pod(phase="Failed", reason="OutOfcpu")], ("False", "OutOfcpu", "False"), id="refused-by-the-node"),
    pytest.param(
        [marks.false("ResourcesAvailable", "NotOwned", "x")],
        deployment(),
        [],
        ("Unknown", "Deploying", "Unknown"),
        id="the-name-is-free-now",
    ),
    pytest.param(WAS_READY, deployment(0), [], ("True", "", "False"), id="asleep"),
    pytest.param(WAS_READY, deployment(1), [], ("True", "", "Unknown"), id="waking"),
    pytest.param(WAS_READY, deployment(1), [pod(running_for=5)], ("True", "", "Unknown"), id="waking-and-starting"),
    pytest.param(WAS_READY, deployment(1), [UNPLACED], ("True", "", "Unknown"), id="waking-and-no-room"),
    pytest.param(WAS_READY, deployment(1), [pod(exit_code=1)], ("False", "ExitCode1", "False"), id="waking-fails"),
    pytest.param(WAS_READY, deployment(1), [pod(running_for=31)], ("False", "ContainerNotReady", "False"), id="waking-hangs"),
    pytest.param(HAD_FAILED, deployment(0), [], ("False", "ExitCode1", "False"), id="an-error-stays-visible-asleep"),
    pytest.param(HAD_FAILED, deployment(1), [pod(running_for=1)], ("False", "ExitCode1", "Unknown"), id="and-until-it-works"),
    pytest.param(HAD_FAILED, deployment(1), [pod(ready=True)], ("True", "", "True"), id="it-works-again"),
]


@pytest.mark.parametrize(("before", "there", "pods", "said"), TABLE)
def test_conditions(before: list[marks.Mark], there: core.Deployment | None, pods: list[core.Pod], said: tuple[str, str, str]) -> None:
    status = plan(Seen(_with(before), there, pods), SETTINGS, NOW).status
    ready, active = _find(status, "Ready"), _find(status, "Active")
    assert (ready.status, ready.reason, active.status) == said
    assert status.observed_generation == 1
    assert ready.status != "False" or ready.message


def test_the_message_has_the_log_or_says_that_there_is_none() -> None:
    def message(there: core.Pod) -> str:
        return _find(plan(Seen(REVISION, deployment(), [there]), SETTINGS, NOW).status, "Ready").message

    assert message(pod(exit_code=1, log="Traceback\nKeyError: 'x'\n")) == "Container failed with: Traceback\nKeyError: 'x'"
    assert "exited with code 7 and wrote nothing" in message(pod(exit_code=7))
    assert "nothing listens on port 8080" in message(pod(running_for=40, said="nothing listens on port 8080"))


def test_ones_own_progress_deadline_gives_a_slow_start_its_time() -> None:
    slow = replace(REVISION, metadata=replace(REVISION.metadata, annotations={"serving.knative.dev/progress-deadline": "10m"}))
    wanted = plan(Seen(slow, deployment(), [pod(running_for=31)]), SETTINGS, NOW)
    assert _find(wanted.status, "Ready").status == "Unknown"
    assert wanted.look_again == 540  # the revision is a minute old


def test_at_the_deadline_a_process_that_started_late_is_named_with_what_it_lacks() -> None:
    due = replace(REVISION, metadata=replace(REVISION.metadata, annotations={"serving.knative.dev/progress-deadline": "50s"}))
    late = pod(running_for=40, said="nothing listens on port 8080")
    ready = _find(plan(Seen(due, deployment(), [late]), SETTINGS, NOW).status, "Ready")
    assert (ready.status, ready.reason) == ("False", "ContainerNotReady")
    assert "not ready after 40 s: nothing listens on port 8080" in ready.message
    woken = plan(Seen(replace(_with(WAS_READY), metadata=due.metadata), deployment(1), [late]), SETTINGS, NOW).status
    assert _find(woken, "Ready").status == "True", "the deadline is for the first start"


def test_at_the_deadline_what_has_not_even_started_is_named_with_what_it_is_at() -> None:
    due = replace(REVISION, metadata=replace(REVISION.metadata, annotations={"serving.knative.dev/progress-deadline": "50s"}))
    for pods, said in (([], "deadline."), ([pod(waiting=("ContainerCreating", ""))], 'deadline. The pod "p" is ContainerCreating.')):
        ready = _find(plan(Seen(due, deployment(), pods), SETTINGS, NOW).status, "Ready")
        assert ready.message == f"No instance became ready before the progress {said}"


def test_what_it_lacked_is_still_said_when_its_instances_have_been_stopped() -> None:
    due = replace(REVISION, metadata=replace(REVISION.metadata, annotations={"serving.knative.dev/progress-deadline": "50s"}))
    at_the_deadline = plan(Seen(due, deployment(), [pod(running_for=40, said="nothing listens on port 8080")]), SETTINGS, NOW).status
    for there in (deployment(0), deployment(0, STUCK)):
        ready = _find(plan(Seen(replace(due, status=at_the_deadline), there), SETTINGS, NOW).status, "Ready")
        assert (ready.status, ready.reason) == ("False", "ContainerNotReady")
        assert "nothing listens on port 8080" in ready.message


def test_one_that_was_ready_gets_the_same_time_to_become_so_again() -> None:
    def said(unready_for: float) -> str:
        there = pod(running_for=3600)
        since = timestamp(NOW - timedelta(seconds=unready_for))
        unready = [replace(c, last_transition_time=since) for c in there.status.conditions]
        there = replace(there, status=replace(there.status, conditions=unready))
        return _find(plan(Seen(_with(WAS_READY), deployment(), [there]), SETTINGS, NOW).status, "Ready").status

    assert (said(29), said(31)) == ("True", "False")


def test_one_that_may_have_become_ready_while_the_api_server_was_away_is_waited_for() -> None:
    def said(followed_for: float) -> tuple[str, float | None]:
        seen = Seen(_with(WAS_READY), deployment(1), [pod(running_for=40)], followed_since=NOW - timedelta(seconds=followed_for))
        wanted = plan(seen, SETTINGS, NOW)
        return _find(wanted.status, "Ready").status, wanted.look_again

    assert said(0) == ("True", 20)
    assert said(21)[0] == "False"


def test_it_looks_again_when_patience_ends() -> None:
    assert plan(Seen(REVISION, deployment(), [pod(running_for=10)]), SETTINGS, NOW).look_again == 20
    assert plan(Seen(REVISION, deployment(), [pod(ready=True)]), SETTINGS, NOW).look_again is None


def test_replicas_and_digests_are_told() -> None:
    running = pod(ready=True)
    pulled = replace(running.status.container_statuses[0], image_id="docker-pullable://registry.example/hello@sha256:abc")
    running = replace(running, status=replace(running.status, container_statuses=[pulled]))
    status = plan(Seen(REVISION, deployment(3), [running]), SETTINGS, NOW).status
    assert (status.actual_replicas, status.desired_replicas) == (1, 3)
    assert [c.image_digest for c in status.container_statuses] == ["registry.example/hello@sha256:abc"]


def test_somebody_elses_deployment_is_named() -> None:
    status = plan(Seen(REVISION, core.Deployment(), [], foreign='Deployment "r-deployment"'), SETTINGS, NOW).status
    assert _find(status, "Ready").reason == "NotOwned"


def test_an_older_owners_deployment_is_waited_for() -> None:
    old = replace(REVISION, metadata=replace(REVISION.metadata, uid="before"))
    left = replace(deployment(), metadata=replace(deployment().metadata, owner_references=[owner.reference(old)]))
    assert _find(plan(Seen(REVISION, left, []), SETTINGS, NOW).status, "Ready").status == "Unknown"


def _with(before: list[marks.Mark]) -> Revision:
    said = marks.settle(conditions.REVISION, [], before, NOW)
    return replace(REVISION, status=RevisionStatus(conditions=said))


def _find(status: RevisionStatus, type: str) -> Condition:
    found = conditions.find(status.conditions, type)
    assert found is not None
    return found
