"""What a user is told to do, for Kubernetes' own words as they were seen; and what a Revision says meanwhile."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from controller import marks
from controller.revision.advice import advised
from controller.revision.plan import Plan, Seen, plan
from kfn.api import core, names
from kfn.api.meta import ObjectMeta
from kfn.clock import timestamp
from tests.unit.controller.test_revision_plan import NOW, REVISION, SETTINGS, WAS_READY, _find, _with, deployment, pod

POD = 'pods "hello-00001-deployment-7d9c-x" is forbidden: '

WORDS = [
    ("ErrImagePull", 'failed to pull and unpack image "r/no:1": failed to resolve reference "r/no:1": r/no:1: not found', "name and tag"),
    ("ImagePullBackOff", 'Back-off pulling image "r/x": failed to authorize: failed to fetch: 401 Unauthorized', "pull secret"),
    ("ErrImagePull", "pull access denied, repository does not exist or may require authorization", "pull secret"),
    ("ErrImagePull", 'failed to do request: Head "https://r:5000/v2/": http: server gave HTTP response to HTTPS client', "speak TLS"),
    ("ErrImagePull", 'failed to pull image "r.nowhere/x": dial tcp: lookup r.nowhere: no such host', "do not reach"),
    ("ErrImagePull", 'no match for platform in manifest: not found', "kind of processor"),
    ("InvalidImageName", "couldn't parse image name \"A:b:c\": invalid reference format", "registry/name:tag"),
    ("ErrImageNeverPull", 'Container image "x" is not present with pull policy of Never', "imagePullPolicy"),
    ("CreateContainerConfigError", 'secret "nope" not found', "Create it"),
    ("CreateContainerConfigError", 'configmap "nope" not found', "Create it"),
    ("CreateContainerConfigError", "couldn't find key K in Secret ns/s", "Add that key"),
    ("FailedMount", 'MountVolume.SetUp failed for volume "v" : references non-existent secret key: k', "Add that key"),
    ("FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "nope" not found', "Create it"),
    ("CreateContainerConfigError", 'container has runAsNonRoot and image will run as root (pod: "p", container: c)', "runAsUser"),
    ("CreateContainerConfigError", "runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root", "number"),
    ("StartError", 'failed to create containerd task: exec: "nope": executable file not found in $PATH: unknown', "entry point"),
    ("Unschedulable", "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "StorageClass"),
    ("Unschedulable", '0/1 nodes are available: persistentvolumeclaim "nope" not found.', "Create the claim"),
    ("Unschedulable", "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.", "Ask for less"),
    ("Unschedulable", "0/1 nodes are available: 1 node(s) had untolerated taint(s).", "toleration"),
    ("Unschedulable", "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.", "nodeSelector"),
    ("FailedCreate", POD + "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1", "ResourceQuota"),
    ("FailedCreate", POD + "failed quota: q: must specify limits.cpu for: user-container", "quota asks for that"),
    ("FailedCreate", POD + "maximum memory usage per Container is 64Mi, but limit is 1Gi", "LimitRange"),
    ("FailedCreate", POD + 'violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container ...)', "runAsNonRoot: true"),
    ("FailedCreate", POD + 'violates PodSecurity "restricted:latest": hostPath volumes', "Pod Security level"),
    ("FailedCreate", 'admission webhook "no.pods.example" denied the request: not today', "ask who runs it"),
    ("FailedCreate", "ValidatingAdmissionPolicy 'no' with binding 'no' denied request: not today", "ask who made it"),
    ("FailedCreate", 'Internal error occurred: failed calling webhook "no.pods.example": connection refused', "does not answer"),
    ("FailedCreate", POD + 'error looking up service account ns/robot: serviceaccount "robot" not found', "ServiceAccount"),
    ("FailedCreate", POD + "no PriorityClass with name high was found", "PriorityClass"),
    ("FailedCreate", POD + 'pod rejected: RuntimeClass "nvidia" not found', "RuntimeClass"),
    ("FailedCreate", POD + "unable to create new content in namespace ns because it is being terminated", "being deleted"),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "message", "told"), WORDS)
def test_what_to_do_stands_after_what_kubernetes_says(reason: str, message: str, told: str) -> None:
    said = advised(reason, message)
    assert said.startswith(message.rstrip("."))
    assert told in said.removeprefix(message.rstrip("."))
    assert advised(reason, said) == said


def test_what_is_not_known_is_shown_as_it_is() -> None:
    assert advised("SomethingNew", "words of a later Kubernetes") == "words of a later Kubernetes"


def creating(*, placed_for: float, init: bool = False) -> core.Pod:
    state = core.ContainerState(waiting=core.ContainerStateWaiting("PodInitializing" if init else "ContainerCreating"))
    placed = core.PodCondition("PodScheduled", "True", last_transition_time=timestamp(NOW - timedelta(seconds=placed_for)))
    statuses = [core.ContainerStatus("user-container", state=state)]
    return core.Pod(metadata=ObjectMeta(name="p", uid="p1"), status=core.PodStatus("Pending", [placed], statuses))


def event(reason: str, message: str, ago: float = 0) -> core.Event:
    return core.Event(reason=reason, message=message, last_timestamp=timestamp(NOW - timedelta(seconds=ago)))


class TestAPodThatDoesNotStartAndDoesNotSayWhy:
    def look(self, there: core.Pod, *events: core.Event) -> Plan:
        return plan(Seen(REVISION, deployment(), [there], events=events), SETTINGS, NOW)

    def test_is_asked_after_two_seconds_and_again_after_five(self) -> None:
        early, late = self.look(creating(placed_for=1)), self.look(creating(placed_for=3))
        assert (early.events_of, early.look_again) == (None, 1)
        assert late.events_of is not None
        assert (late.events_of.metadata.uid, late.look_again) == ("p1", 5)

    @pytest.mark.parametrize("init", [False, True])
    def test_of_a_missing_secret_has_failed(self, init: bool) -> None:
        said = event("FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "nope" not found')
        ready = _find(self.look(creating(placed_for=3, init=init), event("Scheduled", "x", 9), said).status, "Ready")
        assert (ready.status, ready.reason) == ("False", "FailedMount")
        assert 'secret "nope" not found. Create it' in ready.message

    @pytest.mark.parametrize(
        "said",
        [
            event("FailedMount", "Unable to attach or mount volumes: timed out waiting for the condition"),
            event("FailedAttachVolume", "Multi-Attach error for volume"),
            event("FailedCreatePodSandBox", "network is not ready"),
            event("Pulling", 'Pulling image "large"'),
        ],
        ids=lambda e: e.reason,
    )
    def test_of_what_may_pass_is_waited_for_and_told(self, said: core.Event) -> None:
        ready = _find(self.look(creating(placed_for=30), said).status, "Ready")
        assert (ready.status, ready.reason, ready.message) == ("Unknown", said.reason, said.message)

    def test_that_got_over_it_is_not_held_to_it(self) -> None:
        mount = event("FailedMount", 'secret "nope" not found', ago=5)
        for later in (event("Pulled", "is present"), event("FailedMount", "failed to sync secret cache: timed out")):
            assert _find(self.look(creating(placed_for=9), mount, later).status, "Ready").reason == "Deploying"
        started = plan(Seen(REVISION, deployment(), [pod(ready=True)], events=[mount]), SETTINGS, NOW)
        assert _find(started.status, "Ready").status == "True"


class TestAPodThatIsNotTaken:
    def refused(self, seconds: float, replicas: int = 1) -> core.Deployment:
        since = timestamp(NOW - timedelta(seconds=seconds))
        said = core.DeploymentCondition("ReplicaFailure", "True", "FailedCreate", "exceeded quota: q", last_transition_time=since)
        return deployment(replicas, said)

    def test_fails_a_new_function_at_once(self) -> None:
        ready = _find(plan(Seen(REVISION, self.refused(0), []), SETTINGS, NOW).status, "Ready")
        assert (ready.status, ready.reason) == ("False", "FailedCreate")
        assert "exceeded quota: q. Raise the ResourceQuota" in ready.message

    def test_fails_one_that_has_worked_when_it_lasts(self) -> None:
        short = plan(Seen(_with(WAS_READY), self.refused(4), []), SETTINGS, NOW)
        assert (_find(short.status, "Ready").status, short.look_again) == ("True", 6)
        active = _find(short.status, "Active")
        assert (active.status, active.reason) == ("Unknown", "FailedCreate"), "who looks sees it before"
        long = plan(Seen(_with(WAS_READY), self.refused(11), []), SETTINGS, NOW)
        assert _find(long.status, "Ready").status == "False"

    def test_is_asked_for_again_every_twenty_seconds_while_it_is_wanted(self) -> None:
        def look(there: core.Deployment) -> tuple[bool, float | None]:
            found = plan(Seen(REVISION, there, []), SETTINGS, NOW)
            return found.retry_pods, found.look_again

        assert look(self.refused(15)) == (False, 5)
        assert look(self.refused(21)) == (True, 20)
        assert look(self.refused(90, replicas=0))[0] is False
        there = self.refused(90)
        asked = {names.PODS_RETRIED: timestamp(NOW - timedelta(seconds=8))}
        there = replace(there, metadata=replace(there.metadata, annotations=asked))
        assert look(there) == (False, 12)

    def test_while_others_run_fails_nothing(self) -> None:
        for there in (pod(ready=True), pod(running_for=1)):
            found = plan(Seen(_with(WAS_READY), self.refused(60), [there]), SETTINGS, NOW)
            assert _find(found.status, "Ready").status == "True"
            assert found.look_again == 20, "it does not look all the time"

    def test_stays_visible_asleep_until_an_instance_works(self) -> None:
        before = [marks.false("ResourcesAvailable", "FailedCreate", "exceeded quota: q"), marks.true("ContainerHealthy")]
        asleep = plan(Seen(_with(before), deployment(0), []), SETTINGS, NOW).status
        assert _find(asleep, "Ready").reason == "FailedCreate"
        awake = plan(Seen(_with(before), deployment(1), [pod(ready=True)]), SETTINGS, NOW).status
        assert _find(awake, "Ready").status == "True"


class TestAContainerThatIsKilledForMemory:
    def message(self, limit: str, log: str = "") -> str:
        ended = core.ContainerStateTerminated(137, reason="OOMKilled", message=log)
        status = core.ContainerStatus("user-container", last_state=core.ContainerState(terminated=ended))
        limits = core.ResourceRequirements(limits={"memory": limit} if limit else {})
        there = replace(pod(), spec=core.PodSpec(containers=[core.Container("user-container", resources=limits)]))
        there = replace(there, status=replace(there.status, container_statuses=[status]))
        found = _find(plan(Seen(REVISION, deployment(), [there]), SETTINGS, NOW).status, "Ready")
        assert found.reason == "ExitCode137"
        return found.message

    def test_is_told_its_limit_and_its_last_words(self) -> None:
        assert self.message("64Mi", "loading").endswith("more memory than its limit of 64Mi: raise resources.limits.memory. loading")
        assert "than its node has: set resources.limits.memory" in self.message("")


def test_a_pod_without_its_claim_has_failed_and_one_without_room_waits() -> None:
    def said(message: str) -> tuple[str, str]:
        there = core.Pod(status=core.PodStatus("Pending", [core.PodCondition("PodScheduled", "False", "Unschedulable", message)]))
        ready = _find(plan(Seen(REVISION, deployment(), [there]), SETTINGS, NOW).status, "Ready")
        return ready.status, ready.reason

    assert said('0/1 nodes are available: persistentvolumeclaim "nope" not found.') == ("False", "Unschedulable")
    assert said("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.") == ("Unknown", "Unschedulable")
