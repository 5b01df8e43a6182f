"""The node's other pure files: restarts, environment, limits, pod status, slices."""

import base64

import pytest

from embedded.node import environment, limits, podstatus
from embedded.node.errors import BadPod
from embedded.node.podstatus import View
from embedded.node.restart import Policy, decide
from embedded.node.slices import Address, build, selects
from kfn.api.core import (
    ConfigMap,
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    EnvFromSource,
    EnvSourceRef,
    EnvVar,
    EnvVarSource,
    FieldRef,
    KeyRef,
    Pod,
    ResourceRequirements,
    Secret,
    Service,
    ServicePort,
    ServiceSpec,
)  # fmt: skip
from kfn.api.meta import ObjectMeta


def test_back_off_starts_at_once_then_doubles_to_its_bound() -> None:
    waits, failures = [], 0
    for _ in range(8):
        decision = decide(Policy(), "Always", 1, ran=1, failures=failures)
        failures = decision.failures
        waits.append(decision.wait)
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_long_run_starts_the_row_over() -> None:
    assert decide(Policy(), "Always", 1, ran=600, failures=7).wait == 0


def test_an_instance_that_served_for_a_while_is_started_again_at_once() -> None:
    assert decide(Policy(), "Always", 137, ran=10, failures=7, was_ready=True).wait == 0
    assert decide(Policy(), "Always", 137, ran=9, failures=7, was_ready=True).wait == 300
    assert decide(Policy(), "Always", 137, ran=10, failures=7).wait == 300


def test_the_end_of_its_warm_parent_is_not_counted_against_a_container() -> None:
    decision = decide(Policy(), "Always", 137, ran=0.1, failures=3, innocent=True)
    assert (decision.wait, decision.failures) == (0, 3)
    assert decide(Policy(), "Never", 137, ran=0.1, failures=0, innocent=True).wait is None


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [("Never", 1, False), ("Never", 0, False), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Always", 0, True)],
)
def test_restart_policies(policy: str, code: int, again: bool) -> None:
    assert (decide(Policy(), policy, code, 1, 0).wait is not None) is again


POD = Pod(metadata=ObjectMeta(name="p-x1", namespace="ns", uid="u", labels={"app": "a"}))
SECRET = Secret(metadata=ObjectMeta(name="s"), data={"k": base64.b64encode(b"hush").decode()})
MAP = ConfigMap(metadata=ObjectMeta(name="m"), data={"A": "1", "B": "2"})


def resolved(*env: EnvVar, source: list[EnvFromSource] | None = None) -> dict[str, str]:
    container = Container(name="c", env=list(env), env_from=source or [])
    return environment.resolve(POD, container, "127.0.0.1", {"BASE": "x"}, {"s": SECRET}, {"m": MAP})


def test_the_environment_is_resolved_in_order() -> None:
    source = [EnvFromSource(prefix="M_", config_map_ref=EnvSourceRef("m")), EnvFromSource(secret_ref=EnvSourceRef("s"))]
    found = resolved(
        EnvVar("SECRET", value_from=EnvVarSource(secret_key_ref=KeyRef("s", "k"))),
        EnvVar("BOTH", "$(SECRET)-$(M_A)-$(NOT)-$$(M_A)"),
        EnvVar("NAME", value_from=EnvVarSource(field_ref=FieldRef(field_path="metadata.name"))),
        EnvVar("IP", value_from=EnvVarSource(field_ref=FieldRef(field_path="status.podIP"))),
        EnvVar("APP", value_from=EnvVarSource(field_ref=FieldRef(field_path="metadata.labels['app']"))),
        EnvVar("GONE", value_from=EnvVarSource(config_map_key_ref=KeyRef("other", "k", True))),
        source=source,
    )
    assert found == {
        "BASE": "x", "M_A": "1", "M_B": "2", "k": "hush", "SECRET": "hush", "BOTH": "hush-1-$(NOT)-$(M_A)", "NAME": "p-x1",
        "IP": "127.0.0.1", "APP": "a",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (EnvVarSource(secret_key_ref=KeyRef("gone", "k")), 'env X: secret "gone" not found'),
        (EnvVarSource(config_map_key_ref=KeyRef("m", "Z")), 'env X: couldn\'t find key Z in configmap "m"'),
        (EnvVarSource(field_ref=FieldRef(field_path="spec.volumes")), "env X: fieldRef.fieldPath 'spec.volumes' is not supported"),
    ],
)
def test_a_bad_reference_names_the_variable(variable: EnvVarSource, message: str) -> None:
    with pytest.raises(BadPod) as error:
        resolved(EnvVar("X", value_from=variable))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(("text", "value"), [("500m", 0.5), ("2", 2), ("256Mi", 256 * 2**20), ("1G", 1e9), ("1e3", 1000), (4, 4)])
def test_quantities(text: str | int, value: float) -> None:
    assert limits.quantity(text, "x") == value


def test_a_bad_quantity_names_its_field() -> None:
    container = Container(name="c", resources=ResourceRequirements(limits={"memory": "much"}))
    with pytest.raises(BadPod, match=r"containers\[c\].resources.limits.memory: 'much' is not a quantity"):
        limits.of(container)


def test_memory_is_an_rlimit_only_without_a_cgroup() -> None:
    wanted = limits.Limits(memory=100)
    assert limits.rlimits(wanted, 1024, in_cgroup=False) == {"nofile": 1024, "core": 0, "data": 100}
    assert "data" not in limits.rlimits(wanted, 1024, in_cgroup=True)


RUNNING = ContainerState(running=ContainerStateRunning("t"))


def ended(code: int) -> ContainerState:
    return ContainerState(terminated=ContainerStateTerminated(code))


@pytest.mark.parametrize(
    ("views", "phase"),
    [
        pytest.param([View("a", "i")], "Pending", id="being created"),
        pytest.param([View("a", "i", state=RUNNING)], "Running", id="running"),
        pytest.param([View("a", "i", state=RUNNING), View("b", "i")], "Pending", id="one of two"),
        pytest.param([View("a", "i", last_state=ended(1))], "Running", id="in back-off it has run"),
        pytest.param([View("a", "i", state=ended(0), over=True)], "Succeeded", id="completed"),
        pytest.param([View("a", "i", state=ended(2), over=True)], "Failed", id="failed"),
    ],
)
def test_phases(views: list[View], phase: str) -> None:
    assert podstatus.build(POD, views, [], "127.0.0.1", "t", "now").phase == phase


def test_a_pod_is_ready_when_all_its_containers_are() -> None:
    views = [View("a", "i", state=RUNNING, ready=True), View("b", "i", state=RUNNING, problem="nothing listens on port 1")]
    found = {c.type: (c.status, c.reason, c.message) for c in podstatus.build(POD, views, [], "127.0.0.1", "t", "now").conditions}
    assert found["ContainersReady"] == ("False", "ContainersNotReady", "nothing listens on port 1")
    assert found["Initialized"][0] == "True"
    views = [View("a", "i", state=RUNNING, ready=True)]
    found = {c.type: (c.status, c.reason, c.message) for c in podstatus.build(POD, views, [], "127.0.0.1", "t", "now").conditions}
    assert found["Ready"] == ("True", "", "")


SERVICE = Service(
    metadata=ObjectMeta(name="r-private", namespace="ns", uid="s", labels={"serving.knative.dev/revision": "r", "other": "x"}),
    spec=ServiceSpec(selector={"app": "a"}, ports=[ServicePort(name="http", port=80), ServicePort(name="metrics", port=90)]),
)


def test_a_slice_has_the_service_s_ports_and_the_pod_s_address() -> None:
    found = build(SERVICE, POD, Address("127.0.0.1", 4711, ready=False, terminating=False, serving=False), "node")
    assert found.metadata.name == "r-private-x1"
    assert found.metadata.labels["kubernetes.io/service-name"] == "r-private"
    assert found.metadata.labels["serving.knative.dev/revision"] == "r"
    assert "other" not in found.metadata.labels
    assert [(p.name, p.port) for p in found.ports] == [("http", 4711), ("metrics", 4711)]
    assert found.endpoints[0].conditions.ready is False
    assert found.endpoints[0].target_ref and found.endpoints[0].target_ref.uid == "u"


def test_a_service_without_a_selector_selects_nothing() -> None:
    assert selects(SERVICE, POD)
    assert not selects(Service(metadata=ObjectMeta(namespace="ns")), POD)
