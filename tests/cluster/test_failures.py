"""What stops a function on a real cluster is told on its Service in seconds, with what to do; when the cause goes, it recovers."""

from collections.abc import Iterator

import pytest

from tests.cluster.platform import Platform
from tests.cluster.shell import until
from tests.cluster.spaces import Space, space

pytestmark = pytest.mark.cluster

GPU = "example.com/gpu"  # an extended resource that no node has, until a test gives one
BROKEN = "raise SystemExit('no luck today')\n\n\ndef handle(context):\n    return ''\n"
GREEDY = "hoard = bytearray(400 << 20)\n\n\ndef handle(context):\n    return ''\n"


@pytest.fixture(scope="module")
def there(platform: Platform) -> Iterator[Space]:
    with space(platform) as made:
        yield made


@pytest.fixture(scope="module")
def image(platform: Platform) -> str:
    return platform.hello()


class TestTheImage:
    def test_that_is_not_in_the_registry_is_told_before_a_pod_is_made(self, there: Space) -> None:
        there.function("missing", f"{there.platform.registry}/test/never-pushed:1")
        there.says("missing", "False", "RevisionFailed", 'Unable to fetch image ".*never-pushed:1": .*404')
        assert there.said("missing", type="RoutesReady").status == there.said("missing", type="ConfigurationsReady").status == "False"
        assert there.said("missing-00001", "revision", "ContainerHealthy").reason == "ContainerMissing"

    def test_that_the_node_cannot_pull_is_told_with_the_nodes_words(self, there: Space) -> None:
        there.function("gone", f"{there.platform.registry}/test/never-pushed@sha256:{'0' * 64}")
        there.says("gone", "False", "RevisionFailed", "not found.*Check the image's name and tag")
        assert there.said("gone-00001", "revision", "ContainerHealthy").reason in ("ErrImagePull", "ImagePullBackOff")

    def test_whose_registry_is_not_there_is_told(self, there: Space) -> None:
        there.function("nowhere", "127.0.0.1:1/test/x:1")  # a node's own loopback: kfn does not ask there, the node does
        there.says("nowhere", "False", "RevisionFailed", "The nodes do not reach that registry")


class TestTheProcess:
    def test_that_ends_is_told_with_its_last_words(self, there: Space) -> None:
        there.function("broken", there.platform.image(BROKEN, "broken"))
        there.says("broken", "False", "RevisionFailed", "Container failed with: .*no luck today")
        assert there.said("broken-00001", "revision", "ContainerHealthy").reason.startswith("ExitCode")

    def test_that_takes_too_much_memory_is_told_its_limit(self, there: Space) -> None:
        there.function("greedy", there.platform.image(GREEDY, "greedy"), resources={"limits": {"memory": "96Mi"}})
        there.says("greedy", "False", "RevisionFailed", "more memory than its limit of 96Mi: raise resources.limits.memory")
        assert there.said("greedy-00001", "revision", "ContainerHealthy").reason == "ExitCode137"

    def test_that_is_not_in_the_image_is_told(self, there: Space, image: str) -> None:
        there.function("nothing", image, command=["/no/such/program"])
        there.says("nothing", "False", "RevisionFailed", "no such file or directory.*Check command, args")

    def test_of_a_new_revision_fails_that_one_and_the_old_goes_on(self, there: Space, image: str) -> None:
        there.function("twice", image)
        there.ready("twice")
        there.function("twice", there.platform.image(BROKEN, "broken"))
        there.says("twice", "False", "RevisionFailed", "no luck today")
        answer = there.platform.request(f"twice.{there.name}.{there.platform.domain}")
        assert (answer.status, answer.text) == (200, "hi")
        there.function("twice", image)
        there.ready("twice")


class TestWhatAContainerIsMadeOf:
    def test_a_missing_secret_in_its_environment(self, there: Space, image: str) -> None:
        there.function("env", image, env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "k"}}}])
        there.says("env", "False", "RevisionFailed", 'secret "env-secret" not found. Create it')
        there.kubectl("create", "secret", "generic", "env-secret", "--from-literal=other=x")
        there.says("env", "False", "RevisionFailed", "couldn't find key k.* Add that key", within=120)
        there.kubectl("patch", "secret", "env-secret", "-p", '{"stringData":{"k":"v"}}')
        there.ready("env")

    def test_a_missing_secret_in_a_volume(self, there: Space, image: str) -> None:
        pod = {"volumes": [{"name": "v", "secret": {"secretName": "volume-secret"}}]}
        there.function("volume", image, pod=pod, volumeMounts=[{"name": "v", "mountPath": "/v"}])
        there.says("volume", "False", "RevisionFailed", 'secret "volume-secret" not found. Create it')
        assert there.said("volume-00001", "revision").reason == "FailedMount"
        there.kubectl("create", "secret", "generic", "volume-secret", "--from-literal=k=v")
        there.ready("volume")

    def test_a_missing_claim(self, there: Space, image: str) -> None:
        pod = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "models"}}]}
        there.function("claim", image, pod=pod, volumeMounts=[{"name": "v", "mountPath": "/v"}])
        there.says("claim", "False", "RevisionFailed", 'persistentvolumeclaim "models" not found.* Create the claim')
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
        there.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": claim})
        there.ready("claim")


class TestThePlace:
    def test_without_a_gpu_is_waited_for_until_there_is_one(self, there: Space, image: str) -> None:
        there.function("gpu", image, resources={"limits": {GPU: "1"}})
        there.says("gpu", "Unknown", "Unschedulable", f"Insufficient {GPU}.*Ask for less")
        node = there.items("nodes")[0]["metadata"]["name"]
        path = f"/status/capacity/{GPU.replace('/', '~1')}"
        patch = ("patch", "node", node, "--subresource=status", "--type=json", "-p")
        there.kubectl(*patch, f'[{{"op":"add","path":"{path}","value":"1"}}]')
        try:
            there.ready("gpu")
        finally:
            there.kubectl("delete", "ksvc", "gpu")
            there.kubectl(*patch, f'[{{"op":"remove","path":"{path}"}}]')

    def test_that_no_node_is_fit_for_is_told(self, there: Space, image: str) -> None:
        there.function("picky", image, pod={"nodeSelector": {"gpu": "h900"}})
        there.says("picky", "Unknown", "Unschedulable", "node affinity/selector.*Check nodeSelector")


class TestWhoRefusesAPod:
    """Each in a namespace of its own: what refuses there, refuses everything."""

    def test_a_quota_and_it_goes_on_when_there_is_room(self, platform: Platform, image: str) -> None:
        with space(platform) as there:
            there.kubectl("create", "quota", "none", "--hard=pods=0")
            there.function("hello", image)
            there.says("hello", "False", "RevisionFailed", "exceeded quota: none.*Raise the ResourceQuota")
            assert there.said("hello-00001", "revision", "ResourcesAvailable").reason == "FailedCreate"
            there.kubectl("delete", "quota", "none")
            there.ready("hello")

    def test_a_quota_that_wants_limits(self, platform: Platform, image: str) -> None:
        with space(platform) as there:
            there.kubectl("create", "quota", "cpu", "--hard=limits.cpu=1")
            there.function("hello", image)
            there.says("hello", "False", "RevisionFailed", "must specify limits.cpu.*set it in resources of the Service")
            there.function("hello", image, resources={"limits": {"cpu": "500m"}})
            there.ready("hello")

    def test_a_limit_range(self, platform: Platform, image: str) -> None:
        with space(platform) as there:
            limit = {"type": "Container", "max": {"memory": "64Mi"}}
            there.apply({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": {"limits": [limit]}})
            there.function("hello", image, resources={"limits": {"memory": "1Gi"}})
            there.says("hello", "False", "RevisionFailed", "maximum memory usage per Container.*LimitRange")

    def test_pod_security_only_asks_for_a_user_that_is_not_root(self, platform: Platform, image: str) -> None:
        with space(platform, {"pod-security.kubernetes.io/enforce": "restricted"}) as there:
            there.function("hello", image)
            said = there.says("hello", "False", "RevisionFailed", 'violates PodSecurity "restricted.*securityContext.runAsNonRoot: true')
            assert "allowPrivilegeEscalation" not in said.message, "kfn sets all else by itself"
            there.function("hello", image, securityContext={"runAsNonRoot": True})
            there.ready("hello")

    def test_a_service_account_that_is_not_there(self, platform: Platform, image: str) -> None:
        with space(platform) as there:
            there.function("hello", image, pod={"serviceAccountName": "robot"})
            there.says("hello", "False", "RevisionFailed", 'serviceaccount "robot" not found.*Create that ServiceAccount')
            there.kubectl("create", "serviceaccount", "robot")
            there.ready("hello")

    def test_a_webhook_of_somebody_else_that_does_not_answer(self, platform: Platform, image: str) -> None:
        with space(platform) as there:
            hook = {
                "name": "no.pods.example",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 1,
                "clientConfig": {"url": "https://127.0.0.1:1/"},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": there.name}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            }
            kind = "ValidatingWebhookConfiguration"
            there.apply(
                {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": there.name}, "webhooks": [hook]}
            )
            try:
                there.function("hello", image)
                there.says("hello", "False", "RevisionFailed", 'failed calling webhook "no.pods.example".*does not answer')
            finally:
                there.kubectl("delete", kind, there.name)
            there.ready("hello")

    def test_a_policy_of_somebody_else(self, platform: Platform, image: str) -> None:
        with space(platform) as there:
            rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            chosen = {"matchLabels": {"kubernetes.io/metadata.name": there.name}}
            group = "admissionregistration.k8s.io/v1"
            policy = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false", "message": "not today"}]}
            binding = {"policyName": there.name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": chosen}}
            there.apply({"apiVersion": group, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": there.name}, "spec": policy})
            bind = {"apiVersion": group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": there.name}, "spec": binding}
            there.apply(bind)
            dry = ("run", "probe", f"--image={image}", "--dry-run=server")
            until(lambda: "not today" in there.tries(*dry), lambda: "the API server never took the policy up")
            try:
                there.function("hello", image)
                there.says("hello", "False", "RevisionFailed", "not today.*ask who made it")
            finally:
                there.kubectl("delete", "ValidatingAdmissionPolicyBinding,ValidatingAdmissionPolicy", there.name)
            there.ready("hello")
