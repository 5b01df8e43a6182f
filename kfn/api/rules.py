"""What the API server itself enforces of a CRD's fields: bounds, choices, keys of lists, and rules in CEL.

They stand behind the webhook, which has the whole rules and better words (`kfn.api.admission`): what is said here holds even while the
webhook's configuration is missing. A rule here must never refuse what admission lets through. Each has to fit into the API server's cost
budget, which it reckons from the greatest sizes that the schema allows: that is what the bounds on lengths are for.
"""

import copy
from typing import Any

from kfn.api import build, eventing, flows, messaging, meta, pipeline, podspec, serving, shapes
from kfn.api.base import Base, Json
from kfn.api.limits import (
    CONCURRENCY_MAX,
    CONTAINERS_MAX,
    ENV_MAX,
    ID_MAX,
    NAME_MAX,
    PATH_MAX,
    PORT_NAMES,
    RESERVED_ENV,
    RESERVED_PATHS,
    RESERVED_PORTS,
    STEPS_MAX,
    TIMEOUT_MAX_SECONDS,
    TRAFFIC_MAX,
    VOLUMES_MAX,
)


def cel(rule: str, message: str, **more: Any) -> Json:
    return {"rule": rule, "message": message, **more}


def _by(*keys: str) -> Json:
    """A list whose items are told apart by these fields, as in Kubernetes' own types: two appliers may each own items of it."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def _absent(field: str, why: str) -> Json:
    return cel(f"!has(self.{field})", f"{field} is not allowed; {why}, remove it", fieldPath=f".{field}")


def _off(field: str, why: str) -> Json:
    return cel(f"!has(self.{field}) || !self.{field}", f"{field} is not allowed; {why}, remove it", fieldPath=f".{field}")


def _same(field: str, message: str) -> Json:
    """A field that an update may neither change, nor add, nor take away."""
    unchanged = f"(!has(self.{field}) || self.{field} == oldSelf.{field})"
    return cel(f"has(self.{field}) == has(oldSelf.{field}) && {unchanged}", message, reason="FieldValueForbidden")


_SUM = "self.traffic.map(t, has(t.percent) ? t.percent : 0).sum()"
_TRAFFIC = cel(
    f"!has(self.traffic) || size(self.traffic) == 0 || {_SUM} == 100",
    "the percents of traffic do not make 100; change them so that they do",
    fieldPath=".traffic",
)
_LABEL = "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63"
_NAME = cel(
    _LABEL,
    "metadata.name is not a DNS label; use at most 63 lower-case letters, digits and '-', and begin with a letter",
    reason="FieldValueInvalid",
)
_OWN_NAME = cel(
    "!has(self.spec) || !has(self.spec.template) || !has(self.spec.template.metadata) || !has(self.spec.template.metadata.name) || "
    "self.spec.template.metadata.name == '' || self.spec.template.metadata.name.startsWith(self.metadata.name + '-')",
    "the name of a revision must begin with the object's own name and '-'",
    fieldPath=".spec.template.metadata.name",
)
_PORTS = cel(
    "!has(self.containers) || self.containers.filter(c, has(c.ports) && size(c.ports) > 0).size() <= 1",
    "only one container may have a port, the one that gets the requests; remove the others",
    fieldPath=".containers",
)
_AT_MOST_TIMEOUT = (
    "!has(self.{0}) || !has(self.timeoutSeconds) || self.timeoutSeconds == 0 || self.{0} <= self.timeoutSeconds"
)  # fmt: skip
_IMMUTABLE_BUILD = [
    _same(name, f"{name} is immutable; create another Build (only cancel may be set)")
    for name in build.BuildSpec.__struct_encode_fields__
    if name != "cancel"
]

_GIVEN = "(has(self.{0}) && (has(self.{0}.ref) || has(self.{0}.uri)))"

# Of a type as a whole.
_TYPES: dict[type[Base], Json] = {
    serving.Service: {"x-kubernetes-validations": [_NAME, _OWN_NAME]},
    serving.Configuration: {"x-kubernetes-validations": [_NAME, _OWN_NAME]},
    serving.Route: {"x-kubernetes-validations": [_NAME]},
    serving.ServiceSpec: {
        "x-kubernetes-validations": [
            _TRAFFIC,
            cel(
                "!has(self.traffic) || self.traffic.all(t, !has(t.configurationName) || t.configurationName == '')",
                "a Service routes to its own Configuration; remove configurationName",
                fieldPath=".traffic",
            ),
        ]
    },
    serving.RouteSpec: {"x-kubernetes-validations": [_TRAFFIC]},
    serving.TrafficTarget: {
        "x-kubernetes-validations": [
            cel(
                "!(has(self.revisionName) && self.revisionName != '' && has(self.latestRevision) && self.latestRevision)",
                "latestRevision cannot be true beside a revisionName; remove one",
            )
        ]
    },
    serving.RevisionSpec: {
        "required": ["containers"],
        "x-kubernetes-validations": [
            _PORTS,
            cel(_AT_MOST_TIMEOUT.format("responseStartTimeoutSeconds"), "responseStartTimeoutSeconds is more than timeoutSeconds"),
            cel(_AT_MOST_TIMEOUT.format("idleTimeoutSeconds"), "idleTimeoutSeconds is more than timeoutSeconds"),
            *(_off(name, "a function shares no namespace with its host") for name in ("hostNetwork", "hostPID", "hostIPC")),
        ],
    },
    podspec.Container: {
        "x-kubernetes-validations": [
            _absent("lifecycle", "use the function's start and stop hooks"),
            _off("stdin", "a function has no standard input"),
            _off("stdinOnce", "a function has no standard input"),
            _off("tty", "a function has no terminal"),
        ]
    },
    podspec.EnvVar: {
        "required": ["name"],
        "x-kubernetes-validations": [
            cel(
                f"!(self.name in [{', '.join(repr(name) for name in RESERVED_ENV)}])",
                "this variable is set by the platform; use another name",
                messageExpression="\"'\" + self.name + \"' is set by the platform; use another name\"",
                fieldPath=".name",
            )
        ],
    },
    podspec.ContainerPort: {
        "x-kubernetes-validations": [
            cel(
                f"!has(self.containerPort) || !(self.containerPort in [{', '.join(map(str, RESERVED_PORTS))}])",
                f"this port is reserved (as are {', '.join(map(str, RESERVED_PORTS))}); use another, such as 8080",
                fieldPath=".containerPort",
            ),
            cel(
                "!has(self.hostPort) || self.hostPort == 0",
                "hostPort is not allowed; the platform routes to the function, remove it",
                fieldPath=".hostPort",
            ),
        ],
    },
    podspec.VolumeMount: {
        "x-kubernetes-validations": [
            cel(
                f"!has(self.mountPath) || !(self.mountPath in [{', '.join(repr(path) for path in RESERVED_PATHS)}])",
                "this path is reserved by the platform; mount the volume elsewhere",
                fieldPath=".mountPath",
            )
        ]
    },
    shapes.SecurityContext: {"x-kubernetes-validations": [_off("privileged", "only false is possible")]},
    shapes.Volume: {"required": ["name"]},
    shapes.LocalObject: {"required": ["name"]},
    shapes.PodResourceClaim: {"required": ["name"]},
    shapes.HostAlias: {"required": ["ip"]},
    shapes.TopologySpreadConstraint: {"required": ["topologyKey", "whenUnsatisfiable"]},
    meta.Condition: {"required": ["type"]},
    eventing.BrokerSpec: {"x-kubernetes-validations": [_same("config", "config is immutable; delete the Broker and create it anew")]},
    eventing.TriggerSpec: {
        "x-kubernetes-validations": [
            cel(
                "(has(self.broker) ? self.broker : '') == (has(oldSelf.broker) ? oldSelf.broker : '')",
                "immutable; delete the Trigger and create it anew",
                messageExpression="'immutable: it is ' + (has(oldSelf.broker) ? oldSelf.broker : 'a brokerRef') "
                "+ '; delete the Trigger and create it anew'",
                fieldPath=".broker",
                reason="FieldValueForbidden",
            ),
            _same("brokerRef", "brokerRef is immutable; delete the Trigger and create it anew"),
            cel(
                "(has(self.broker) && self.broker != '') != has(self.brokerRef)",
                "set one of broker and brokerRef, such as broker: default",
            ),
            cel("has(self.subscriber) && (has(self.subscriber.ref) || has(self.subscriber.uri))", "subscriber is missing; set ref or uri"),
        ]
    },
    messaging.SubscriptionSpec: {
        "required": ["channel"],
        "x-kubernetes-validations": [
            _same("channel", "channel is immutable; delete the Subscription and create it anew"),
            cel(f"{_GIVEN.format('subscriber')} || {_GIVEN.format('reply')}", "subscriber is missing; set subscriber, reply, or both"),
        ],
    },
    flows.SequenceSpec: {"required": ["steps"]},
    flows.ParallelSpec: {"required": ["branches"]},
    pipeline.PipelineSpec: {"required": ["steps"]},
    build.BuildSpec: {
        "x-kubernetes-validations": [
            *_IMMUTABLE_BUILD,
            cel(
                "!(has(oldSelf.cancel) && oldSelf.cancel) || (has(self.cancel) && self.cancel)",
                "a cancelled build stays cancelled; create another Build",
            ),
        ]
    },
}  # fmt: skip

_COUNT: Json = {"minimum": 0}
_TIMES = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_ID: Json = {"minimum": 0, "maximum": ID_MAX}
_OPEN: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}  # a schema cannot contain itself
_ONE_DIALECT: Json = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {
        **{name: {"type": "object", "additionalProperties": {"type": "string"}} for name in ("exact", "prefix", "suffix")},
        "all": {"type": "array", "items": _OPEN},
        "any": {"type": "array", "items": _OPEN},
        "not": _OPEN,
        "cesql": {"type": "string"},
    },
}
_POLICY: dict[str, Json] = {"retries": _COUNT, "onError": {"enum": ["", *pipeline.ON_ERROR]}}
# Of one field.
_FIELDS: dict[type[Base], dict[str, Json]] = {
    serving.Revision: {
        "spec": {
            "x-kubernetes-validations": [
                cel("self == oldSelf", "immutable; change the Service, which makes a new revision", reason="FieldValueForbidden")
            ]
        }
    },
    serving.ServiceSpec: {"traffic": {"maxItems": TRAFFIC_MAX}},
    serving.RouteSpec: {"traffic": {"maxItems": TRAFFIC_MAX}},
    serving.TrafficTarget: {"percent": {"minimum": 0, "maximum": 100}},
    serving.RevisionSpec: {
        "containers": {"minItems": 1, "maxItems": CONTAINERS_MAX},
        "initContainers": {"maxItems": CONTAINERS_MAX},
        "containerConcurrency": {"minimum": 0, "maximum": CONCURRENCY_MAX},
        "timeoutSeconds": {"minimum": 0, "maximum": TIMEOUT_MAX_SECONDS},
        "responseStartTimeoutSeconds": {"minimum": 0, "maximum": TIMEOUT_MAX_SECONDS},
        "idleTimeoutSeconds": {"minimum": 0, "maximum": TIMEOUT_MAX_SECONDS},
        "volumes": {"maxItems": VOLUMES_MAX, **_by("name")},
        "imagePullSecrets": _by("name"),
        "resourceClaims": _by("name"),
        "hostAliases": _by("ip"),
        "topologySpreadConstraints": _by("topologyKey", "whenUnsatisfiable"),
        "nodeSelector": {"x-kubernetes-map-type": "atomic"},
    },
    podspec.Container: {
        "ports": {"maxItems": 1},
        "env": {"maxItems": ENV_MAX},
        "volumeMounts": {"maxItems": VOLUMES_MAX},
        "imagePullPolicy": {"enum": ["", "Always", "IfNotPresent", "Never"]},
        "terminationMessagePolicy": {"enum": ["", "File", "FallbackToLogsOnError"]},
    },
    podspec.ContainerPort: {
        "name": {"enum": list(PORT_NAMES)},
        "containerPort": {"minimum": 0, "maximum": 65535},
        "protocol": {"enum": ["", "TCP"]},
    },
    podspec.EnvVar: {"name": {"minLength": 1, "maxLength": NAME_MAX}},
    podspec.VolumeMount: {"mountPath": {"maxLength": PATH_MAX}},
    podspec.Probe: dict.fromkeys(_TIMES, _COUNT),
    shapes.SecurityContext: {"runAsUser": _ID, "runAsGroup": _ID},
    shapes.PodSecurityContext: {"runAsUser": _ID, "runAsGroup": _ID, "fsGroup": _ID},
    eventing.TriggerSpec: {"filters": {"items": _ONE_DIALECT}},
    flows.SequenceSpec: {"steps": {"minItems": 1, "maxItems": STEPS_MAX}},
    flows.ParallelSpec: {"branches": {"minItems": 1, "maxItems": STEPS_MAX}},
    pipeline.PipelineSpec: {"steps": {"minProperties": 1, "maxProperties": STEPS_MAX}},
    pipeline.Policy: _POLICY,
    pipeline.PipelineStep: _POLICY,
    pipeline.Join: {"mode": {"enum": ["", *pipeline.JOIN_MODES]}, "minSuccess": {"minimum": 0, "maximum": 1}},
    meta.DeliverySpec: {
        "retry": _COUNT,
        "backoffPolicy": {"enum": ["", "linear", "exponential"]},
        "format": {"enum": ["", "json", "binary"]},
    },
}  # fmt: skip
_CONDITIONS = _by("type")


def of_type(type_: type[Base]) -> Json:
    """What to add to the schema of a type."""
    return copy.deepcopy(_TYPES.get(type_, {}))


def of_field(type_: type[Base], name: str) -> Json:
    """What to add to the schema of one field."""
    found = _FIELDS.get(type_, {}).get(name, _CONDITIONS if name == "conditions" else {})
    return copy.deepcopy(found)
