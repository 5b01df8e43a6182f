"""What a Revision asks of the cluster: one Deployment and two Services, as Knative names and labels them. Pure.

There is no sidecar: the gateway does what Knative's queue-proxy does, so the user's probes stay where they are.
"""

from typing import Any

from msgspec.structs import replace

from controller import owner
from controller.settings import DISABLED, ENABLED, Settings
from kfn.api import core, names
from kfn.api.duration import parse_go
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Revision, RevisionSpec

DEFAULT_PORT = 8080
DEFAULT_TIMEOUT = 300
INITIAL_SCALE = names.AUTOSCALING + "initial-scale"
DEFAULT_CONTAINER_ANNOTATION = "kubectl.kubernetes.io/default-container"


def deployment(revision: Revision, settings: Settings) -> core.Deployment:
    """The Deployment at its creation. `replicas` is the initial scale; from then on it is the autoscaler's."""
    labels = pod_labels(revision)
    annotations = dict(revision.metadata.annotations)
    for own in (names.ROUTES, names.ROUTING_STATE_MODIFIED, names.CREATOR, names.LAST_MODIFIER):
        annotations.pop(own, None)  # they change, or say nothing about a pod; a pod template must not follow them
    pod_annotations = {**annotations, DEFAULT_CONTAINER_ANNOTATION: traffic_container(revision).name or names.DEFAULT_CONTAINER}
    return core.Deployment(
        metadata=_meta(revision, names.deployment(revision.metadata.name), labels, annotations),
        spec=core.DeploymentSpec(
            replicas=initial_scale(revision, settings),
            selector=core.LabelSelector(match_labels={names.REVISION_UID: revision.metadata.uid}),
            template=core.PodTemplateSpec(metadata=ObjectMeta(labels=labels, annotations=pod_annotations), spec=_pod(revision, settings)),
            strategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}},
            revision_history_limit=0,
            progress_deadline_seconds=max(int(progress_deadline(revision, settings)), 1),
        ),
    )


def service(revision: Revision) -> core.Service:
    """`<rev>-private` selects the pods, and its EndpointSlices are the instances. That is all that it is for: it has no address, so no node
    learns rules for it, and there is no second one (Knative's `<rev>`), whose slices the cluster would write at every start as well."""
    container = traffic_container(revision)
    port = traffic_port(container)
    name = port.name or "http"
    ports = [core.ServicePort(name=name, port=80, target_port=port.container_port, protocol="TCP", app_protocol=_app_protocol(name))]
    spec = core.ServiceSpec(type="ClusterIP", cluster_ip="None", selector={names.REVISION: revision.metadata.name}, ports=ports)
    return core.Service(metadata=_meta(revision, names.private_service(revision.metadata.name), pod_labels(revision), {}), spec=spec)


def pod_labels(revision: Revision) -> dict[str, str]:
    labels = {k: v for k, v in revision.metadata.labels.items() if k != names.ROUTING_STATE}
    return {
        **labels,
        "app": labels.get("app", revision.metadata.name),
        names.REVISION: revision.metadata.name,
        names.REVISION_UID: revision.metadata.uid,
    }


def traffic_container(revision: Revision) -> core.Container:
    """The container that takes requests: the one with a port, or the only one."""
    containers = revision.spec.containers or [core.Container()]
    return next((c for c in containers if c.ports), containers[0])


def traffic_port(container: core.Container) -> core.ContainerPort:
    port = container.ports[0] if container.ports else core.ContainerPort()
    return replace(port, container_port=port.container_port or DEFAULT_PORT, name={"": "http", "http1": "http"}.get(port.name, port.name))


def initial_scale(revision: Revision, settings: Settings) -> int:
    text = revision.metadata.annotations.get(INITIAL_SCALE, "")
    try:
        scale = max(int(float(text)), 0)  # `func` writes numbers as 1.000000
    except ValueError:
        return 1
    return scale if scale or settings.allow_zero_initial_scale else 1


def progress_deadline(revision: Revision, settings: Settings) -> float:
    """Seconds after which a Revision of which nothing is known has failed."""
    return explicit_deadline(revision) or settings.progress_deadline


def explicit_deadline(revision: Revision) -> float | None:
    """The user's own deadline (annotation progress-deadline, such as `120s`), which also bounds a slow start."""
    text = revision.metadata.annotations.get(names.PROGRESS_DEADLINE, "")
    if not text:
        return None
    try:
        return parse_go(text)
    except ValueError:
        return None


def _pod(revision: Revision, settings: Settings) -> core.PodSpec:
    spec = revision.spec
    takes_traffic = traffic_container(revision)
    fields = {name: getattr(spec, name) for name in core.PodSpec.__struct_fields__}
    fields |= {
        "containers": [_container(revision, c, c is takes_traffic, settings) for c in spec.containers],
        "init_containers": [replace(c, security_context=_security(spec, c, settings)) for c in spec.init_containers],
        "enable_service_links": False if spec.enable_service_links is None else spec.enable_service_links,
        "termination_grace_period_seconds": (spec.timeout_seconds or DEFAULT_TIMEOUT) + settings.pre_stop,
    }
    if _speaks_nats(revision):
        fields["volumes"] = [*spec.volumes, _credentials(revision)]
    # The token volume alone costs 270 ms of a cold start, and few functions talk to the API server.
    if spec.automount_service_account_token is None and spec.service_account_name in ("", "default"):
        fields["automount_service_account_token"] = False
    return core.PodSpec(**fields)


def _limits(spec: RevisionSpec) -> list[core.EnvVar]:
    """What kfn's function server should know of the Revision's limits: threads for sync handlers, and how long to drain."""
    limits = []
    if spec.container_concurrency:
        limits.append(core.EnvVar("KFN_CONCURRENCY", str(spec.container_concurrency)))
    if spec.timeout_seconds:
        limits.append(core.EnvVar("KFN_DRAIN_TIMEOUT", str(spec.timeout_seconds)))
    return limits


def _speaks_nats(revision: Revision) -> bool:
    return any(revision.metadata.annotations.get(name) for name in (names.NATS_PUBLISH, names.NATS_PULL))


def _credentials(revision: Revision) -> dict[str, Any]:
    """What eventing writes for the function: a pod waits for it. Renewed files come by themselves."""
    items = [{"key": f"{revision.metadata.labels.get(names.SERVICE, '')}.creds", "path": "nats.creds"}, {"key": "ca.crt", "path": "ca.crt"}]
    return {"name": names.NATS_CREDENTIALS, "secret": {"secretName": names.NATS_CREDENTIALS, "items": items, "defaultMode": 0o444}}


def _nats(revision: Revision) -> list[core.EnvVar]:
    function = revision.metadata.labels.get(names.SERVICE, "")

    def kept(variable: str, key: str) -> core.EnvVar:
        return core.EnvVar(variable, value_from=core.EnvVarSource(secret_key_ref=core.KeyRef(name=names.NATS_CREDENTIALS, key=key)))

    return [
        kept("NATS_URL", "url"),
        kept("NATS_INBOX_PREFIX", f"{function}.inbox"),
        core.EnvVar("NATS_CREDS", f"{names.NATS_FOLDER}/nats.creds"),
        core.EnvVar("NATS_CA", f"{names.NATS_FOLDER}/ca.crt"),
    ]


def _container(revision: Revision, container: core.Container, takes_traffic: bool, settings: Settings) -> core.Container:
    labels = revision.metadata.labels
    env = [
        core.EnvVar("K_REVISION", revision.metadata.name),
        core.EnvVar("K_CONFIGURATION", labels.get(names.CONFIGURATION, "")),
        core.EnvVar("K_SERVICE", labels.get(names.SERVICE, "")),
        core.EnvVar("KFN_NAMESPACE", revision.metadata.namespace),
        *_limits(revision.spec),
    ]
    ports = container.ports
    probe = container.readiness_probe
    if takes_traffic:
        port = traffic_port(container)
        ports = [replace(port, name=container.ports[0].name or "user-port" if container.ports else "user-port")]
        env.insert(0, core.EnvVar("PORT", str(port.container_port)))
        probe = _probe(probe or core.Probe(tcp_socket=core.TCPSocketAction()), port.container_port)
    mounts = container.volume_mounts
    if takes_traffic and _speaks_nats(revision):
        env += _nats(revision)
        mounts = [*mounts, core.VolumeMount(names.NATS_CREDENTIALS, names.NATS_FOLDER, read_only=True)]
    return replace(
        container,
        volume_mounts=mounts,
        name=container.name or names.DEFAULT_CONTAINER,
        env=[*container.env, *env],
        ports=ports,
        readiness_probe=probe,
        liveness_probe=_probe(container.liveness_probe, traffic_port(container).container_port),
        startup_probe=_probe(container.startup_probe, traffic_port(container).container_port),
        termination_message_policy=container.termination_message_policy or "FallbackToLogsOnError",
        security_context=_security(revision.spec, container, settings),
        # Whoever has yet to learn that the pod is going may still send to it: the EndpointSlice says so while the process is ended.
        lifecycle={"preStop": {"sleep": {"seconds": settings.pre_stop}}} if settings.pre_stop else None,
    )


def _probe(probe: core.Probe | None, port: int) -> core.Probe | None:
    """A probe without a port means the traffic port; a period of 0 is Knative's word for "as often as you can"."""
    if probe is None:
        return None
    if probe.http_get is not None and not probe.http_get.port:
        probe = replace(probe, http_get=replace(probe.http_get, port=port))
    if probe.tcp_socket is not None and not probe.tcp_socket.port:
        probe = replace(probe, tcp_socket=replace(probe.tcp_socket, port=port))
    if probe.grpc is not None and not probe.grpc.port:
        probe = replace(probe, grpc=replace(probe.grpc, port=port))
    return replace(probe, period_seconds=probe.period_seconds or 1, success_threshold=probe.success_threshold or 1)


def _security(pod: core.PodSpec, container: core.Container, settings: Settings) -> dict[str, object] | None:
    """What the template leaves open. What it says of the pod counts as said of the container."""
    given, of_pod = container.security_context or {}, pod.security_context or {}
    if settings.secure_pod_defaults == DISABLED:
        return container.security_context
    capabilities: dict[str, object] = {"drop": ["ALL"]}
    if any(0 < port.container_port < 1024 for port in container.ports):
        capabilities["add"] = ["NET_BIND_SERVICE"]
    wanted: dict[str, object] = {"allowPrivilegeEscalation": False, "capabilities": capabilities}
    if "seccompProfile" not in of_pod:
        wanted["seccompProfile"] = {"type": "RuntimeDefault"}
    if settings.secure_pod_defaults == ENABLED and "runAsNonRoot" not in of_pod:
        wanted["runAsNonRoot"] = True
    return {**wanted, **given}


def _app_protocol(port_name: str) -> str:
    return "kubernetes.io/h2c" if port_name == "h2c" else "http"


def _meta(revision: Revision, name: str, labels: dict[str, str], annotations: dict[str, str]) -> ObjectMeta:
    return ObjectMeta(
        name=name,
        namespace=revision.metadata.namespace,
        labels=labels,
        annotations=annotations,
        owner_references=[owner.reference(revision)],
    )
