"""The registry: for each resource its group, version, names, scope, subresources and type."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kfn.api import (
    apiserversource,
    batch,
    build,
    containersource,
    core,
    eventing,
    flows,
    jobsink,
    kafkasource,
    messaging,
    natssource,
    pipeline,
    registration,
    serving,
    sinkbinding,
    sources,
    webhooksource,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """One resource type. `path` gives its REST path as Kubernetes lays it out."""

    group: str
    version: str
    kind: str
    plural: str
    type: type[T]
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    """Labels, each `true`, of its CRD, by which clients find kinds that play a part: `kn source list` asks for sources."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def qualified(self) -> str:
        """`services.serving.knative.dev`, or just `pods` in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.namespaced and namespace:
            base += f"/namespaces/{namespace}"
        base += f"/{self.plural}"
        if name:
            base += f"/{name}"
        if subresource:
            base += f"/{subresource}"
        return base


_KNATIVE = ("all", "knative", "serving")
_EVENTING = ("all", "knative", "eventing")
# Duck types, by which others find kinds: what has a status.address, what carries a pod template.
_ADDRESSABLE = ("duck.knative.dev/addressable",)
_SUBSCRIBABLE = ("messaging.knative.dev/subscribable",)
_PODS = ("duck.knative.dev/podspecable",)

SERVICE = Kind(
    serving.GROUP, "v1", "Service", "services", serving.Service, True, ("kservice", "ksvc"), _KNATIVE, ("status",), _ADDRESSABLE + _PODS
)
CONFIGURATION = Kind(
    serving.GROUP, "v1", "Configuration", "configurations", serving.Configuration, True, ("config", "cfg"), _KNATIVE, ("status",), _PODS
)
REVISION = Kind(serving.GROUP, "v1", "Revision", "revisions", serving.Revision, True, ("rev",), _KNATIVE, ("status",))
ROUTE = Kind(serving.GROUP, "v1", "Route", "routes", serving.Route, True, ("rt",), _KNATIVE, ("status",), _ADDRESSABLE)
BROKER = Kind(eventing.GROUP, "v1", "Broker", "brokers", eventing.Broker, True, (), _EVENTING, ("status",), _ADDRESSABLE)
TRIGGER = Kind(eventing.GROUP, "v1", "Trigger", "triggers", eventing.Trigger, True, (), _EVENTING, ("status",))
CHANNEL = Kind(
    messaging.GROUP, "v1", "Channel", "channels", messaging.Channel, True, ("ch",), ("all", "knative", "messaging", "channel"), ("status",),
    _ADDRESSABLE + _SUBSCRIBABLE,
)  # fmt: skip
IN_MEMORY_CHANNEL = Kind(
    messaging.GROUP, "v1", "InMemoryChannel", "inmemorychannels", messaging.InMemoryChannel, True, ("imc",),
    ("all", "knative", "messaging", "channel"), ("status",), _ADDRESSABLE + _SUBSCRIBABLE,
)  # fmt: skip
SUBSCRIPTION = Kind(
    messaging.GROUP, "v1", "Subscription", "subscriptions", messaging.Subscription, True, ("sub",), ("all", "knative", "messaging"),
    ("status",),
)  # fmt: skip
_FLOWS = ("all", "knative", "flows")
SEQUENCE = Kind(flows.GROUP, "v1", "Sequence", "sequences", flows.Sequence, True, (), _FLOWS, ("status",), _ADDRESSABLE)
PARALLEL = Kind(flows.GROUP, "v1", "Parallel", "parallels", flows.Parallel, True, (), _FLOWS, ("status",), _ADDRESSABLE)
PING_SOURCE = Kind(
    sources.GROUP,
    "v1",
    "PingSource",
    "pingsources",
    sources.PingSource,
    True,
    (),
    ("all", "knative", "sources"),
    ("status",),
    ("duck.knative.dev/source",),
)
KAFKA_SOURCE = Kind(
    kafkasource.GROUP, "v1", "KafkaSource", "kafkasources", kafkasource.KafkaSource, True, (), ("all", "knative", "sources"), ("status",),
    ("duck.knative.dev/source",),
)  # fmt: skip
NATS_SOURCE = Kind(
    natssource.GROUP, "v1alpha1", "NatsSource", "natssources", natssource.NatsSource, True, (), ("all", "kfn", "sources"), ("status",),
    ("duck.knative.dev/source",),
)  # fmt: skip
SINK_BINDING = Kind(
    sources.GROUP, "v1", "SinkBinding", "sinkbindings", sinkbinding.SinkBinding, True, (), ("all", "knative", "sources", "bindings"),
    ("status",), ("duck.knative.dev/source", "duck.knative.dev/binding"),
)  # fmt: skip
CONTAINER_SOURCE = Kind(
    sources.GROUP, "v1", "ContainerSource", "containersources", containersource.ContainerSource, True, (), ("all", "knative", "sources"),
    ("status",), ("duck.knative.dev/source",),
)  # fmt: skip
API_SERVER_SOURCE = Kind(
    sources.GROUP, "v1", "ApiServerSource", "apiserversources", apiserversource.ApiServerSource, True, (), ("all", "knative", "sources"),
    ("status",), ("duck.knative.dev/source",),
)  # fmt: skip
JOB_SINK = Kind(
    jobsink.GROUP, "v1alpha1", "JobSink", "jobsinks", jobsink.JobSink, True, (), (*_EVENTING, "sink"), ("status",), _ADDRESSABLE
)
WEBHOOK_SOURCE = Kind(
    webhooksource.GROUP,
    "v1alpha1",
    "WebhookSource",
    "webhooksources",
    webhooksource.WebhookSource,
    True,
    (),
    ("all", "kfn", "sources"),
    ("status",),
    ("duck.knative.dev/source", *_ADDRESSABLE),
)
PIPELINE = Kind(
    pipeline.GROUP, "v1alpha1", "Pipeline", "pipelines", pipeline.Pipeline, True, (), ("all", "kfn"), ("status",), _ADDRESSABLE
)  # fmt: skip
BUILD = Kind(build.GROUP, "v1alpha1", "Build", "builds", build.Build, True, ("bld",), ("all", "kfn"), ("status",))

DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments", core.Deployment, True, ("deploy",), ("all",), ("status", "scale"))
JOB = Kind(batch.GROUP, "v1", "Job", "jobs", batch.Job, True, (), ("all",), ("status",))
POD = Kind("", "v1", "Pod", "pods", core.Pod, True, ("po",), ("all",), ("status", "log"))
CORE_SERVICE = Kind("", "v1", "Service", "services", core.Service, True, ("svc",), ("all",), ("status",))
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", core.EndpointSlice)
EVENT = Kind("", "v1", "Event", "events", core.Event, True, ("ev",))
NAMESPACE = Kind("", "v1", "Namespace", "namespaces", core.Namespace, False, ("ns",), (), ("status",))
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", core.ConfigMap, True, ("cm",))
SECRET = Kind("", "v1", "Secret", "secrets", core.Secret)
SERVICE_ACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts", core.ServiceAccount, True, ("sa",))
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases", core.Lease)
# Of a cluster only: `kfn up` asks no webhook.
MUTATING_WEBHOOKS = Kind(
    registration.GROUP, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", registration.Mutating, False
)
VALIDATING_WEBHOOKS = Kind(
    registration.GROUP, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", registration.Validating, False
)

ALL: tuple[Kind[Any], ...] = (
    SERVICE, CONFIGURATION, REVISION, ROUTE, BROKER, TRIGGER, CHANNEL, IN_MEMORY_CHANNEL, SUBSCRIPTION, SEQUENCE, PARALLEL, PING_SOURCE,
    NATS_SOURCE, KAFKA_SOURCE, API_SERVER_SOURCE, JOB_SINK, SINK_BINDING, CONTAINER_SOURCE, WEBHOOK_SOURCE, PIPELINE, BUILD,
    DEPLOYMENT, JOB, POD, CORE_SERVICE, ENDPOINT_SLICE, EVENT, NAMESPACE, CONFIG_MAP, SECRET, SERVICE_ACCOUNT, LEASE,
)  # fmt: skip


def find(api_version: str, kind: str) -> Kind[Any] | None:
    """The registered kind that an object's `apiVersion` and `kind` name."""
    return next((k for k in ALL if k.api_version == api_version and k.kind == kind), None)
