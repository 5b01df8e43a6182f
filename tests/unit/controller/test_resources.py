"""The Deployment and the Services of a Revision, field by field where others rely on them."""

import pytest
from msgspec.structs import replace

from controller.revision import resources
from controller.settings import DISABLED, ENABLED, Settings
from kfn.api import core
from kfn.api.base import encode
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Revision, RevisionSpec

SETTINGS = Settings()
LABELS = {
    "serving.knative.dev/service": "hello",
    "serving.knative.dev/configuration": "hello",
    "serving.knative.dev/configurationGeneration": "1",
    "serving.knative.dev/routingState": "pending",
    "mine": "kept",
}
CONTAINER = core.Container(name="user-container", image="i")


def revision(container: core.Container = CONTAINER, annotations: dict[str, str] | None = None, **spec: object) -> Revision:
    return Revision(
        metadata=ObjectMeta(name="hello-00001", namespace="ns", uid="u", labels=LABELS, annotations=annotations or {}),
        spec=RevisionSpec(containers=[container], **spec),  # type: ignore[arg-type]
    )


def pod_of(there: Revision, settings: Settings = SETTINGS) -> core.PodSpec:
    return resources.deployment(there, settings).spec.template.spec


def test_names_labels_and_owner_are_knatives() -> None:
    there = resources.deployment(revision(), SETTINGS)
    labels = there.spec.template.metadata.labels
    assert there.metadata.name == "hello-00001-deployment"
    assert labels["app"] == labels["serving.knative.dev/revision"] == "hello-00001"
    assert labels["mine"] == "kept"
    assert "serving.knative.dev/routingState" not in labels, "it changes, and a pod template must not"
    assert there.spec.selector.match_labels.items() <= labels.items()
    owner = there.metadata.owner_references[0]
    assert (owner.kind, owner.name, owner.controller, owner.block_owner_deletion) == ("Revision", "hello-00001", True, True)
    assert there.spec.template.metadata.annotations["kubectl.kubernetes.io/default-container"] == "user-container"


def test_the_container_gets_the_contracts_environment_after_its_own() -> None:
    mine = replace(CONTAINER, env=[core.EnvVar("A", "1")], ports=[core.ContainerPort(container_port=9000)])
    env = {e.name: e.value for e in pod_of(revision(mine)).containers[0].env}
    assert env == {
        "A": "1", "PORT": "9000", "K_REVISION": "hello-00001", "K_CONFIGURATION": "hello", "K_SERVICE": "hello", "KFN_NAMESPACE": "ns",
    }  # fmt: skip


def test_a_pod_costs_no_token_and_no_service_links_unless_asked_for() -> None:
    plain, account = pod_of(revision()), pod_of(revision(service_account_name="robot"))
    assert (plain.automount_service_account_token, plain.enable_service_links) == (False, False)
    assert account.automount_service_account_token is None
    assert pod_of(revision(service_account_name="default", automount_service_account_token=True)).automount_service_account_token is True


def test_a_last_word_is_kept_for_the_error_message() -> None:
    assert pod_of(revision()).containers[0].termination_message_policy == "FallbackToLogsOnError"


def test_probes_go_to_the_traffic_port() -> None:
    http = core.Probe(http_get=core.HTTPGetAction(path="/healthz"))
    container = pod_of(revision(replace(CONTAINER, readiness_probe=core.Probe(tcp_socket=core.TCPSocketAction(0)), liveness_probe=http)))
    probe, alive = container.containers[0].readiness_probe, container.containers[0].liveness_probe
    assert probe and probe.tcp_socket and (probe.tcp_socket.port, probe.period_seconds) == (8080, 1)
    assert alive and alive.http_get and (alive.http_get.port, alive.http_get.path) == (8080, "/healthz")


def test_what_gpu_work_needs_is_passed_through() -> None:
    gpu = replace(CONTAINER, resources=core.ResourceRequirements(limits={"nvidia.com/gpu": 1}))
    given = {
        "node_selector": {"gpu": "h200"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "runtime_class_name": "nvidia",
        "priority_class_name": "high",
        "resource_claims": [{"name": "gpu"}],
        "volumes": [{"name": "m", "persistentVolumeClaim": {"claimName": "models"}}],
    }
    spec = pod_of(revision(gpu, **given))
    assert {name: getattr(spec, name) for name in given} == given
    assert spec.containers[0].resources == gpu.resources
    assert "containerConcurrency" not in encode(spec)


@pytest.mark.parametrize(
    ("written", "allowed", "replicas"),
    [("", True, 1), ("3", True, 3), ("2.000000", True, 2), ("0", True, 0), ("0", False, 1), ("many", True, 1)],
)
def test_replicas_are_the_initial_scale(written: str, allowed: bool, replicas: int) -> None:
    annotations = {"autoscaling.knative.dev/initial-scale": written} if written else {}
    there = resources.deployment(revision(annotations=annotations), Settings(allow_zero_initial_scale=allowed))
    assert there.spec.replicas == replicas


def test_the_progress_deadline_may_be_ones_own() -> None:
    assert resources.deployment(revision(), SETTINGS).spec.progress_deadline_seconds == 600
    own = revision(annotations={"serving.knative.dev/progress-deadline": "2m"})
    assert resources.deployment(own, SETTINGS).spec.progress_deadline_seconds == 120


def test_routing_annotations_do_not_reach_the_pods() -> None:
    first = resources.deployment(revision(annotations={"note": "x"}), SETTINGS)
    later = resources.deployment(
        revision(annotations={"note": "x", "serving.knative.dev/routes": "hello", "serving.knative.dev/routingStateModified": "t"}),
        SETTINGS,
    )
    assert first == later


class TestSecureDefaults:
    def test_a_container_gets_what_the_restricted_profile_asks_but_keeps_its_images_user(self) -> None:
        assert pod_of(revision()).containers[0].security_context == {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip

    def test_they_can_be_turned_off_and_made_stricter(self) -> None:
        assert pod_of(revision(), Settings(secure_pod_defaults=DISABLED)).containers[0].security_context is None
        strict = pod_of(revision(), Settings(secure_pod_defaults=ENABLED)).containers[0].security_context
        assert strict and strict["runAsNonRoot"] is True

    def test_they_give_way_to_the_template(self) -> None:
        mine = {"runAsNonRoot": False, "capabilities": {"drop": ["NET_RAW"]}, "allowPrivilegeEscalation": True}
        there = pod_of(revision(replace(CONTAINER, security_context=mine)), Settings(secure_pod_defaults=ENABLED))
        assert there.containers[0].security_context == {**mine, "seccompProfile": {"type": "RuntimeDefault"}}
        of_pod = {"seccompProfile": {"type": "Unconfined"}, "runAsNonRoot": False}
        given = pod_of(revision(security_context=of_pod), Settings(secure_pod_defaults=ENABLED))
        assert given.security_context == of_pod
        assert given.containers[0].security_context == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

    def test_a_port_below_1024_can_be_bound(self) -> None:
        low = replace(CONTAINER, ports=[core.ContainerPort(container_port=80)])
        context = pod_of(revision(low)).containers[0].security_context
        assert context and context["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}

    def test_init_containers_get_them_too(self) -> None:
        there = pod_of(revision(init_containers=[core.Container(name="init", image="i")]))
        assert there.init_containers[0].security_context == there.containers[0].security_context


class TestAnEnd:
    def test_a_pod_answers_for_a_while_and_a_request_may_finish_after_that(self) -> None:
        there = pod_of(revision(timeout_seconds=42), Settings(pre_stop=3))
        assert there.containers[0].lifecycle == {"preStop": {"sleep": {"seconds": 3}}}
        assert there.termination_grace_period_seconds == 45

    def test_without_one_there_is_no_hook(self) -> None:
        there = pod_of(revision(timeout_seconds=42), Settings(pre_stop=0))
        assert (there.containers[0].lifecycle, there.termination_grace_period_seconds) == (None, 42)


@pytest.mark.parametrize(
    ("port", "name", "protocol"), [("", "http", "http"), ("http1", "http", "http"), ("h2c", "h2c", "kubernetes.io/h2c")]
)
def test_the_private_service_selects_the_pods(port: str, name: str, protocol: str) -> None:
    private = resources.service(revision(replace(CONTAINER, ports=[core.ContainerPort(port, 9000)])))
    assert (private.metadata.name, private.spec.cluster_ip) == ("hello-00001-private", "None")
    assert private.spec.selector == {"serving.knative.dev/revision": "hello-00001"}
    assert private.metadata.labels["serving.knative.dev/revision"] == "hello-00001"
    only = private.spec.ports[0]
    assert (only.name, only.port, only.target_port, only.app_protocol) == (name, 80, 9000, protocol)


def test_of_several_containers_the_one_with_a_port_takes_requests() -> None:
    side = core.Container(name="side", image="s")
    main = core.Container(name="main", image="m", ports=[core.ContainerPort(container_port=7000)])
    there = replace(revision(), spec=RevisionSpec(containers=[side, main]))
    env = [[e.name for e in c.env] for c in pod_of(there).containers]
    assert "PORT" not in env[0]
    assert env[1][0] == "PORT"
