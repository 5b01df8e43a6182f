"""Knative's defaults, filled into the JSON of the kinds of serving, eventing and sources; and kfn's own into Builds.

Everything here changes the object in place, and doing it twice changes nothing: otherwise a PUT of an unchanged
object would raise its generation and make a new revision. The object's types have been checked before.
"""

from collections.abc import Callable
from typing import Any

from kfn.api import apiserversource, jobsink, names, natssource, secretvalue, webhooksource
from kfn.api import build as build_types
from kfn.api.base import Json
from kfn.api.eventing import BROKER_CLASS
from kfn.api.messaging import API_VERSION as MESSAGING

CONTAINER_CONCURRENCY = 0  # unlimited
TIMEOUT_SECONDS = 300
RESPONSE_START_TIMEOUT_SECONDS = 300
EVERY_MINUTE = "* * * * *"
DELIVERY = {"retry": 10, "backoffPolicy": "exponential", "backoffDelay": "PT0.2S"}  # of a Broker that says nothing
SUBSCRIBABLE = "messaging.knative.dev/subscribable"
INIT_CONTAINER = "init-container"
SOURCE_CONTAINER = "source"

# Volumes that a function may write to; a mount of any other is read-only unless it says otherwise.
_WRITABLE = ("emptyDir", "persistentVolumeClaim", "ephemeral", "csi")


def service(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    template(spec)
    if not spec.get("traffic"):
        spec["traffic"] = [{"latestRevision": True, "percent": 100}]
    traffic(spec)


def configuration(obj: Json) -> None:
    template(obj.setdefault("spec", {}))


def route(obj: Json) -> None:
    traffic(obj.setdefault("spec", {}))


def revision(obj: Json) -> None:
    revision_spec(obj.setdefault("spec", {}))


def template(spec: Json) -> None:
    revision_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def traffic(spec: Json) -> None:
    for target in spec.get("traffic", []):
        target.setdefault("latestRevision", not target.get("revisionName"))


def revision_spec(spec: Json) -> None:
    spec.setdefault("containerConcurrency", CONTAINER_CONCURRENCY)
    if not spec.get("timeoutSeconds"):
        spec["timeoutSeconds"] = TIMEOUT_SECONDS
    if spec["timeoutSeconds"] > RESPONSE_START_TIMEOUT_SECONDS:
        spec.setdefault("responseStartTimeoutSeconds", RESPONSE_START_TIMEOUT_SECONDS)
    # Service links put every Service of the namespace into the environment: slow starts, and none of a function's business.
    spec.setdefault("enableServiceLinks", False)
    containers = spec.get("containers", [])
    _name(containers, names.DEFAULT_CONTAINER)
    _name(spec.get("initContainers", []), INIT_CONTAINER)
    serving = [c for c in containers if c.get("ports")] if len(containers) > 1 else containers
    for container in serving:
        _readiness(container.setdefault("readinessProbe", {}))
    for container in containers:
        if container.get("livenessProbe"):
            _periodic(container["livenessProbe"], period=10)
    writable = {v.get("name") for v in spec.get("volumes", []) if any(kind in v for kind in _WRITABLE)}
    for container in (*containers, *spec.get("initContainers", [])):
        container.setdefault("resources", {})  # as Knative shows it; `kn apply` leaves it out the second time
        for mount in container.get("volumeMounts", []):
            if mount.get("name") not in writable:
                mount.setdefault("readOnly", True)


def broker(obj: Json) -> None:
    chosen = obj.setdefault("metadata", {}).setdefault("annotations", {}).setdefault(names.BROKER_CLASS, BROKER_CLASS)
    spec = obj.setdefault("spec", {})
    if chosen == BROKER_CLASS and "delivery" not in spec:
        spec["delivery"] = dict(DELIVERY)
    _destinations(spec, obj)


def trigger(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("filter", {})
    name = spec.get("broker") or spec.get("brokerRef", {}).get("name")
    if name:
        obj.setdefault("metadata", {}).setdefault("labels", {})[names.BROKER] = name
    _destinations(spec, obj)


def channel(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _channel_template(spec)
    _destinations(spec, obj)


def in_memory_channel(obj: Json) -> None:
    """As Knative does, say by which version of the duck type it is subscribed to."""
    obj.setdefault("metadata", {}).setdefault("annotations", {}).setdefault(SUBSCRIBABLE, "v1")
    _destinations(obj.setdefault("spec", {}), obj)


def subscription(obj: Json) -> None:
    _destinations(obj.setdefault("spec", {}), obj)


def sequence(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _channel_template(spec)
    _destinations(spec, obj)
    for step in spec.get("steps", []):
        _destinations({"subscriber": step, "delivery": step.get("delivery", {})}, obj)


def parallel(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _channel_template(spec)
    _destinations(spec, obj)
    for branch in spec.get("branches", []):
        _destinations({**branch, "sink": branch.get("filter", {})}, obj)


def _channel_template(spec: Json) -> None:
    """As Knative does, name the implementation: there is one, and `kn channel list` shows it."""
    if not spec.get("channelTemplate"):
        spec["channelTemplate"] = {"apiVersion": MESSAGING, "kind": "Channel"}


def ping_source(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("schedule"):
        spec["schedule"] = EVERY_MINUTE
    _destinations(spec, obj)


def sink_binding(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if (subject := spec.get("subject")) and (namespace := obj.get("metadata", {}).get("namespace")):
        subject.setdefault("namespace", namespace)
    _destinations(spec, obj)


def container_source(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    pod = spec.get("template", {}).get("spec")
    containers = pod.get("containers") if isinstance(pod, dict) else None
    if isinstance(containers, list) and all(isinstance(one, dict) for one in containers):
        _name(containers, SOURCE_CONTAINER)  # `kn` gives it none
    _destinations(spec, obj)


def api_server_source(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("mode"):
        spec["mode"] = apiserversource.REFERENCE
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = apiserversource.DEFAULT_ACCOUNT
    _destinations(spec, obj)


def job_sink(obj: Json) -> None:
    """Containers are told that they run as a batch, as Knative's are."""
    spec = obj.get("spec", {})
    for step in ("job", "spec", "template", "spec"):
        spec = spec.get(step) if isinstance(spec, dict) else None
    containers = [one for name in ("containers", "initContainers") for one in _list(spec, name)]
    for container in containers:
        env = container.get("env", [])
        if isinstance(env, list) and not any(isinstance(one, dict) and one.get("name") == jobsink.MODE for one in env):
            container["env"] = [*env, {"name": jobsink.MODE, "value": jobsink.BATCH}]


def _list(spec: object, name: str) -> list[Json]:
    found = spec.get(name) if isinstance(spec, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def webhook_source(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    for field, default in (
        ("eventType", webhooksource.TYPE),
        ("signatureHeader", webhooksource.SIGNATURE_HEADER),
        ("typeHeader", webhooksource.TYPE_HEADER),
        ("idHeader", webhooksource.ID_HEADER),
    ):
        if not spec.get(field):
            spec[field] = default
    secret = spec.setdefault("secret", {})
    if isinstance(secret, dict):
        secret.setdefault("name", webhooksource.SECRET)
        if name := obj.get("metadata", {}).get("name"):
            secret.setdefault("key", name)
    _destinations(spec, obj)


def nats_source(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("eventType"):
        spec["eventType"] = natssource.TYPE
    jetstream = spec.get("jetstream")
    if isinstance(jetstream, dict) and not jetstream.get("deliverPolicy"):
        jetstream["deliverPolicy"] = "all"
    _secrets(spec.get("auth"), spec.get("tls"))
    _destinations(spec, obj)


def kafka_source(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec["consumers"] = spec.get("consumers", 1)
    spec["initialOffset"] = spec.get("initialOffset") or "latest"
    spec["ordering"] = spec.get("ordering") or "ordered"
    net = spec.get("net")
    if isinstance(net, dict):
        _secrets(net.get("sasl"), net.get("tls"))
    _destinations(spec, obj)


def _secrets(*groups: Any) -> None:
    """A value that names no Secret is in the one that eventing may read."""
    for group in groups:
        for value in group.values() if isinstance(group, dict) else ():
            if isinstance(value, dict) and isinstance(ref := value.get("secretKeyRef"), dict):
                ref["name"] = ref.get("name") or secretvalue.SECRET


def _destinations(spec: Json, obj: Json) -> None:
    """A reference without a namespace means the object's own."""
    namespace = obj.get("metadata", {}).get("namespace")
    given = [spec.get("delivery", {}).get("deadLetterSink", {}), *(spec.get(name, {}) for name in ("subscriber", "sink", "reply"))]
    for ref in (*(one.get("ref") for one in given), spec.get("config")):
        if ref and namespace:
            ref.setdefault("namespace", namespace)


def _name(containers: list[Json], default: str) -> None:
    """Give names to containers that have none: the default, or numbered ones where there are several."""
    used = {c["name"] for c in containers if c.get("name")}
    number = 0
    for container in containers:
        if container.get("name"):
            continue
        name = default
        while len(containers) > 1 and (name == default or name in used):
            name, number = f"{default}-{number}", number + 1
        container["name"] = name
        used.add(name)


def _readiness(probe: Json) -> None:
    """By default: the traffic port accepts a connection. A period of 0 lets the platform probe as fast as it can."""
    if not any(kind in probe for kind in ("httpGet", "tcpSocket", "exec", "grpc")):
        probe["tcpSocket"] = {"port": 0}
    if not probe.get("successThreshold"):
        probe["successThreshold"] = 1
    if probe.get("periodSeconds"):
        _periodic(probe, period=probe["periodSeconds"])


def _periodic(probe: Json, period: int) -> None:
    for field, default in (("periodSeconds", period), ("timeoutSeconds", 1), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(field):
            probe[field] = default


def pipeline(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if isinstance(on := spec.get("on"), dict) and not on.get("broker"):
        on["broker"] = "default"
    for step in spec.get("steps", {}).values():
        _destinations({"sink": step}, obj)


def build(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("timeoutSeconds"):
        spec["timeoutSeconds"] = build_types.TIMEOUT_SECONDS


BY_KIND: dict[str, Callable[[Json], None]] = {
    "services.serving.knative.dev": service,
    "configurations.serving.knative.dev": configuration,
    "revisions.serving.knative.dev": revision,
    "routes.serving.knative.dev": route,
    "brokers.eventing.knative.dev": broker,
    "triggers.eventing.knative.dev": trigger,
    "channels.messaging.knative.dev": channel,
    "inmemorychannels.messaging.knative.dev": in_memory_channel,
    "subscriptions.messaging.knative.dev": subscription,
    "sequences.flows.knative.dev": sequence,
    "parallels.flows.knative.dev": parallel,
    "pingsources.sources.knative.dev": ping_source,
    "sinkbindings.sources.knative.dev": sink_binding,
    "containersources.sources.knative.dev": container_source,
    "natssources.kfn.dev": nats_source,
    "kafkasources.sources.knative.dev": kafka_source,
    "apiserversources.sources.knative.dev": api_server_source,
    "jobsinks.sinks.knative.dev": job_sink,
    "webhooksources.kfn.dev": webhook_source,
    "pipelines.kfn.dev": pipeline,
    "builds.kfn.dev": build,
}
