"""What each field is for, in a sentence: `kubectl explain ksvc.spec` and editors show it. A type's own sentence is its docstring."""

from typing import Any

from kfn.api import (
    apiserversource,
    build,
    containersource,
    described_queues,
    eventing,
    flows,
    jobsink,
    messaging,
    meta,
    pipeline,
    podspec,
    serving,
    shapes,
    sinkbinding,
    sourced,
    sources,
    webhooksource,
)
from kfn.api.base import Base

_CONDITIONS = {
    "observedGeneration": "The generation of the object that this status is about; an older one is not the whole truth yet.",
    "conditions": "What holds of the object; Ready sums the others up, with the reason and a message where it is not True.",
    "annotations": "Notes of the controllers.",
}
_ADDRESS = {
    "url": "Where it is reached from outside.",
    "address": "Where it is reached in the cluster.",
}
_NAMES = {
    "latestCreatedRevisionName": "The newest Revision, whether it is ready or not.",
    "latestReadyRevisionName": "The newest Revision that has become ready: where traffic to the latest goes.",
}
_TEMPLATE = "What the next Revision is made from: every change of it makes a new one."
_TRAFFIC = "Which Revisions get which part of the requests; the percents make 100."
_CHANNEL_TEMPLATE = "The implementation; there is one, so this has no effect."
_SINK = "Where events go that could not be delivered."

_FIELDS: dict[type[Base], dict[str, str]] = {
    **described_queues.FIELDS,
    serving.ServiceSpec: {"template": _TEMPLATE, "traffic": _TRAFFIC + " By default everything goes to the newest that is ready."},
    serving.ConfigurationSpec: {"template": _TEMPLATE},
    serving.RouteSpec: {"traffic": _TRAFFIC},
    serving.TrafficTarget: {
        "tag": "A name of its own for this target: it is reached at TAG-NAME.NAMESPACE.DOMAIN too, whatever its percent.",
        "revisionName": "The Revision that gets the requests.",
        "configurationName": "The Configuration whose newest ready Revision gets the requests; not in a Service.",
        "latestRevision": "True for the newest ready Revision; it follows from revisionName.",
        "percent": "How many of a hundred requests go here; 0 or nothing for a target that is reached by its tag only.",
        "url": "The address of the tag; written by the platform.",
    },
    serving.RevisionTemplate: {"spec": "The pod of the function, and how requests are given to it."},
    serving.RevisionSpec: {
        "containerConcurrency": "How many requests one instance works on at once; 0 is no limit.",
        "timeoutSeconds": "How long a request may take in all, in seconds.",
        "responseStartTimeoutSeconds": "How long the first byte of an answer may take, in seconds.",
        "idleTimeoutSeconds": "How long an answer may pause, in seconds; 0 is no limit.",
    },
    serving.ServiceStatus: {**_CONDITIONS, **_ADDRESS, **_NAMES, "traffic": "Where requests go now, with the Revisions' names."},
    serving.ConfigurationStatus: {**_CONDITIONS, **_NAMES},
    serving.RouteStatus: {**_CONDITIONS, **_ADDRESS, "traffic": "Where requests go now, with the Revisions' names."},
    serving.RevisionStatus: {
        **_CONDITIONS,
        "logUrl": "Where its logs are.",
        "containerStatuses": "The digest of each container's image, which a tag had when the Revision was made.",
        "initContainerStatuses": "The same for init containers.",
        "actualReplicas": "How many instances are ready.",
        "desiredReplicas": "How many instances the autoscaler wants.",
    },
    serving.ContainerDigest: {"name": "The container's name.", "imageDigest": "Its image, by digest."},
    podspec.PodSpec: {
        "containers": "The function, and helpers beside it; the one with a port gets the requests.",
        "initContainers": "What runs, one after the other, before the function starts.",
        "volumes": "Files and folders that containers mount; each has a name and one source.",
        "serviceAccountName": "The ServiceAccount that the function runs as.",
        "imagePullSecrets": "Secrets with which images are pulled.",
        "enableServiceLinks": "Whether every Service of the namespace is put into the environment; false by default.",
        "automountServiceAccountToken": "Whether the ServiceAccount's token is mounted.",
        "nodeSelector": "Labels that a node must have.",
        "tolerations": "Taints of nodes that do not keep the function away.",
        "affinity": "Which nodes and which neighbours are wanted.",
        "topologySpreadConstraints": "How instances are spread over zones and nodes.",
        "runtimeClassName": "The RuntimeClass, such as nvidia.",
        "resourceClaims": "Claims of devices, such as GPUs, by dynamic resource allocation.",
        "priorityClassName": "The PriorityClass: who has to go when there is no room.",
        "schedulerName": "The scheduler that places the pods.",
        "securityContext": "As whom the pod runs, and what it may.",
        "hostAliases": "Lines of /etc/hosts.",
        "dnsPolicy": "Where names are looked up.",
        "dnsConfig": "Name servers and search domains.",
        "shareProcessNamespace": "Whether the containers see each other's processes.",
    },
    podspec.Container: {
        "name": "A DNS label; user-container by default.",
        "image": "The image, by tag or digest.",
        "command": "What to run, instead of the image's entrypoint.",
        "args": "Its arguments, instead of the image's command.",
        "workingDir": "The folder in which it runs.",
        "env": "Environment variables; PORT, K_SERVICE, K_CONFIGURATION and K_REVISION are the platform's.",
        "envFrom": "ConfigMaps and Secrets of which every key becomes a variable.",
        "ports": "The one port that gets the requests, 8080 by default; the name h2c asks for HTTP/2.",
        "resources": "CPU, memory and devices: what is reserved, and what is the limit.",
        "volumeMounts": "Where volumes appear.",
        "livenessProbe": "When this fails the container is started anew.",
        "readinessProbe": "When this succeeds the instance gets requests; by default once its port accepts a connection.",
        "startupProbe": "Until this succeeds the other probes wait.",
        "imagePullPolicy": "Always, IfNotPresent or Never.",
        "securityContext": "As whom the container runs, and what it may.",
        "terminationMessagePath": "The file in which the process says why it ended.",
        "terminationMessagePolicy": "File or FallbackToLogsOnError.",
    },
    podspec.EnvVar: {"name": "The variable.", "value": "Its value.", "valueFrom": "Where its value is."},
    podspec.ContainerPort: {
        "name": "http1, or h2c for HTTP/2 without TLS.",
        "containerPort": "The port on which the function listens; 8080 by default.",
        "protocol": "TCP.",
    },
    podspec.Probe: {
        "httpGet": "Succeeds with a status from 200 to 399.",
        "tcpSocket": "Succeeds when the port accepts a connection.",
        "exec": "Succeeds when the command ends with 0.",
        "grpc": "Succeeds when the gRPC health service says SERVING.",
        "periodSeconds": "Seconds between two probes; 0: as fast as the platform can.",
    },
    eventing.BrokerSpec: {
        "config": "Settings of the Broker's class.",
        "delivery": "How events are delivered, for Triggers that do not say it themselves.",
    },
    eventing.BrokerStatus: {
        **_CONDITIONS,
        "address": "Where events are sent to.",
        "addresses": "All of its addresses.",
        "deadLetterSinkUri": _SINK,
    },
    eventing.TriggerSpec: {
        "broker": "The Broker whose events these are, of the same namespace.",
        "brokerRef": "The Broker as a reference.",
        "filter": "Events whose attributes have these values; without one, all.",
        "filters": "Filters that must all match; each has one of exact, prefix, suffix, all, any, not, cesql. They replace filter.",
        "subscriber": "Who gets the events.",
        "delivery": "Retries, timeout and dead letters; it takes the place of the Broker's as a whole.",
    },
    eventing.TriggerFilter: {"attributes": "Attribute to value; an empty value means that the attribute is there."},
    eventing.TriggerStatus: {**_CONDITIONS, "subscriberUri": "The subscriber's address.", "deadLetterSinkUri": _SINK},
    messaging.ChannelTemplate: {"spec": "Settings of that implementation."},
    messaging.ChannelSpec: {
        "channelTemplate": _CHANNEL_TEMPLATE,
        "delivery": "How events are delivered, for Subscriptions that do not say it themselves.",
    },
    messaging.SubscriberSpec: {
        "uid": "Which subscriber it is: what waits for it is kept under this.",
        "generation": "The generation of the Subscription that this was told by.",
        "name": "The Subscription's name.",
        "subscriberUri": "Who gets the events.",
        "replyUri": "Where the subscriber's answers go.",
        "delivery": "Retries, timeout and dead letters; it takes the place of the channel's as a whole.",
    },
    messaging.InMemoryChannelSpec: {
        "subscribers": "Who gets the events. Subscriptions stand here by themselves.",
        "delivery": "How events are delivered, for subscribers that do not say it themselves.",
    },
    messaging.ChannelStatus: {
        **_CONDITIONS,
        "address": "Where events are sent to.",
        "addresses": "All of its addresses.",
        "subscribers": "Its Subscriptions, and whether events are kept for them.",
        "deadLetterSinkUri": _SINK,
    },
    messaging.SubscriptionSpec: {
        "channel": "The Channel whose events these are, of the same namespace.",
        "subscriber": "Who gets the events.",
        "reply": "Where the subscriber's answers go.",
        "delivery": "Retries, timeout and dead letters; it takes the place of the Channel's as a whole.",
    },
    messaging.SubscriptionStatus: {**_CONDITIONS, "physicalSubscription": "The addresses of subscriber, reply and dead letters."},
    flows.Step: {"delivery": "Retries, timeout and dead letters of this step."},
    flows.SequenceSpec: {
        "steps": "Who works on the events, one after the other.",
        "channelTemplate": _CHANNEL_TEMPLATE,
        "reply": "Where the last step's answers go.",
    },
    flows.SequenceStatus: {
        **_CONDITIONS,
        "address": "Where events are sent to: the first step's channel.",
        "channelStatuses": "The channel before each step.",
        "subscriptionStatuses": "The subscription of each step.",
    },
    flows.Branch: {
        "filter": "Who decides: what it answers goes on into the branch, nothing if it answers nothing.",
        "subscriber": "Who gets the events of the branch.",
        "reply": "Where the subscriber's answers go; else the Parallel's reply.",
        "delivery": "Retries, timeout and dead letters of this branch.",
    },
    flows.ParallelSpec: {
        "branches": "Every event goes to each of them.",
        "channelTemplate": _CHANNEL_TEMPLATE,
        "reply": "Where answers go of branches without a reply of their own.",
    },
    flows.ParallelStatus: {
        **_CONDITIONS,
        "address": "Where events are sent to: the channel before the branches.",
        "ingressChannelStatus": "The channel before the branches.",
        "branchStatuses": "Channel and subscriptions of each branch.",
    },
    meta.Destination: {
        "ref": "An object with an address.",
        "uri": "An absolute URL; beside a ref, a path at its address.",
        "CACerts": "Certificates, in PEM, that the address is trusted by.",
        "audience": "The audience of the token that is sent along.",
    },
    meta.DeliverySpec: {
        "deadLetterSink": _SINK,
        "retry": "How often delivery is tried again.",
        "backoffPolicy": "linear or exponential.",
        "backoffDelay": "The first pause, in ISO-8601, such as PT0.2S.",
        "timeout": "How long one delivery may take, in ISO-8601.",
        "retryAfterMax": "The longest Retry-After that is followed, in ISO-8601.",
        "format": "json or binary.",
    },
    sourced.SourceSpec: {"sink": "Who gets the events.", "ceOverrides": "Attributes that every event gets."},
    sourced.DeliveringSpec: {"delivery": "How delivery is tried again, and where what is given up goes."},
    sourced.SourceStatus: {**_CONDITIONS, "sinkUri": "The sink's address.", "ceAttributes": "Types and sources of its events."},
    sources.PingSourceSpec: {
        "schedule": "When, as a cron expression; every minute by default.",
        "timezone": "The time zone of the schedule, such as Europe/Berlin; UTC by default.",
        "contentType": "The media type of the data.",
        "data": "The event's data.",
        "dataBase64": "The same in base64, for what is not text.",
    },
    sinkbinding.SinkBindingSpec: {
        "sink": "Who gets the events: its address becomes K_SINK.",
        "ceOverrides": "Attributes that every event is to get; they become K_CE_OVERRIDES.",
        "subject": "The workloads that send events.",
    },
    sinkbinding.Subject: {
        "apiVersion": "The API's group and version, such as apps/v1.",
        "kind": "The kind, such as Deployment; whatever has a pod template in spec.template, and CronJob.",
        "namespace": "The object's own; no other is possible.",
        "name": "The name of the one workload.",
        "selector": "The labels of the workloads; instead of a name.",
    },
    sinkbinding.BoundStatus: {"sinkCACerts": "Certificates, in PEM, that the sink is trusted by."},
    containersource.ContainerSourceSpec: {
        "sink": "Who gets the events: its address becomes K_SINK.",
        "ceOverrides": "Attributes that every event is to get; they become K_CE_OVERRIDES.",
        "template": "The pod that sends the events, as in a Deployment.",
    },
    apiserversource.ApiVersionKind: {"apiVersion": "Group and version, such as apps/v1.", "kind": "The kind, such as Deployment."},
    apiserversource.ApiVersionKindSelector: {"selector": "Labels of the objects; without one it is all of the kind."},
    apiserversource.ApiServerSourceSpec: {
        "resources": "The kinds of objects that are watched.",
        "owner": "Only objects whose controller is of this kind.",
        "mode": "Reference for events that name the object, Resource for events that have the whole object as data.",
        "serviceAccountName": "The service account with whose rights objects are watched; default by default.",
        "namespaceSelector": "Labels of the namespaces to watch in; without it the source's own, with an empty one all.",
        "filters": "As a Trigger's: only events that pass all of them are sent.",
    },
    apiserversource.ApiServerSourceStatus: {"namespaces": "The namespaces that are watched."},
    jobsink.JobSinkSpec: {"job": "The Job that runs for each event."},
    jobsink.JobSelector: {"selector": "The labels of all its Jobs."},
    jobsink.JobSinkStatus: {**_CONDITIONS, "address": "Where events are sent to.", "job": "How its Jobs are found."},
    webhooksource.WebhookSourceSpec: {
        "sink": "Who gets the events. A Broker keeps them; anything else has to be up when a request comes.",
        "secret": "What requests are signed with.",
        "signatureHeader": "The header with sha256= and the HMAC-SHA256 of the body in hex.",
        "eventType": "The type of the events; a dot and what typeHeader says follow it.",
        "typeHeader": "The header that says what has happened.",
        "idHeader": "The header with the id of the delivery; where it is missing, the id is made of type and body.",
        "eventSource": "The source of the events; by default the path of this object.",
    },
    webhooksource.SecretKey: {"name": "The Secret.", "key": "The key in it; by default the source's name."},
    webhooksource.WebhookSourceStatus: {"address": "Where requests are sent to."},
    pipeline.PipelineSpec: {
        "on": "The events that start a run. In a file that kubectl reads, quote the key: YAML's on is true.",
        "http": "Whether a POST to the Pipeline's address starts a run; by default where there is no on.",
        "key": "Not taken yet: an expression by whose value runs are put in order.",
        "timeout": "How long a run may take, such as 10m.",
        "defaults": "What the steps have in common.",
        "steps": "The steps by their names, by which expressions read what they answered.",
        "output": "An expression, or an object of them; by default what the last steps answered.",
    },
    pipeline.Start: {
        "broker": "The Broker; default by default.",
        "type": "The events' type.",
        "source": "The events' source; any by default.",
        "filters": "Filters as a Trigger has them; all must match.",
    },
    pipeline.Policy: {
        "retries": "Attempts after the first.",
        "backoff": "How long to wait before a retry.",
        "timeout": "How long one attempt may take, such as 30s.",
        "onError": "After the last attempt: fail ends the run, dlq keeps a dead letter too, continue goes on without an output.",
    },
    pipeline.Backoff: {
        "initial": "The wait before the first retry, such as 1s.",
        "factor": "By how much each wait is longer than the one before.",
        "max": "The longest wait.",
        "jitter": "Whether waits are spread at random.",
    },
    pipeline.PipelineStep: {
        "fn": "The Service that is called.",
        "uri": "The address that is called.",
        "ref": "The addressable object that is called.",
        "emit": "The type of the event that is published.",
        "broker": "The Broker that emit publishes to.",
        "input": "An expression, or an object of them; by default what the one need answered, or the event's data.",
        "data": "The data of the event that is published, as input.",
        "map": "An expression that gives a list: the step is called once for each item.",
        "maxInFlight": "How many items of a map are worked on at once.",
        "needs": "Steps that come before, beside those that expressions read; name? goes on without it.",
        "join": "When a step with several needs begins.",
        "when": "An expression: where it is false, the step is skipped.",
    },
    pipeline.Join: {
        "mode": "all waits for every need, any for the first.",
        "window": "How long after the first need is done the step begins with what is there.",
        "minSuccess": "The share of needs and of a map's items that must have succeeded, such as 0.95.",
    },
    build.BuildSpec: {
        "source": "Where the source is: one of artifact, git and inline.",
        "image": "Where the image goes.",
        "name": "The function's name, where the source does not say it.",
        "platforms": "linux/amd64, linux/arm64; the cluster's own by default.",
        "base": "The base that the image stands on: the name of one of kfn's, or an image.",
        "options": "As the flags of kfn build.",
        "timeoutSeconds": "How long the build may take, in seconds.",
        "pushSecret": "The Secret, of type kubernetes.io/dockerconfigjson, with which the image is pushed.",
        "pullSecret": "The Secret with which bases are pulled.",
        "indexSecret": "The Secret of the package index: url, username and password if it wants them, ca.crt for an authority of its own.",
        "gitSecret": "The Secret with username and password of the repository.",
        "resources": "CPU and memory of the build's pod.",
        "cancel": "True ends the build. The only field that may be changed.",
    },
    build.BuildStatus: {
        "observedGeneration": _CONDITIONS["observedGeneration"],
        "conditions": "Succeeded says how it stands.",
        "image": "The image by digest.",
        "digest": "The image's digest.",
        "queuePosition": "1 for the build that starts next, 0 once it has started.",
        "logTail": "The last lines of its log.",
    },
    shapes.SecurityContext: {
        "runAsUser": "The user's id.",
        "runAsGroup": "The group's id.",
        "runAsNonRoot": "Whether a process of user 0 is refused.",
        "readOnlyRootFilesystem": "Whether only volumes can be written.",
        "allowPrivilegeEscalation": "Whether a process may gain more rights than its parent.",
        "capabilities": "Capabilities to take away; NET_BIND_SERVICE may be added.",
        "seccompProfile": "Which system calls it may make.",
    },
}
_OBJECT = {
    "apiVersion": "The API's group and version.",
    "kind": "The kind of the object.",
    "spec": "What is wanted.",
    "status": "What is; written by the controllers.",
}


def describe(type_: type[Base], name: str = "") -> str:
    """What a type, or a field of it, is; empty where its name says enough."""
    if not name:
        return _of_type(type_)
    for one in type_.__mro__:
        if said := _FIELDS.get(one, {}).get(name):
            return said
    return _OBJECT.get(name, "") if "metadata" in type_.__struct_fields__ else ""


def _of_type(type_: type[Base]) -> str:
    """The docstring, with the names that the fields have in JSON."""
    text = " ".join((type_.__doc__ or "").split())
    names: dict[str, Any] = dict(zip(type_.__struct_fields__, type_.__struct_encode_fields__, strict=True))
    for name, encoded in names.items():
        text = text.replace(f"`{name}`", encoded)
    return text.replace("`", "")
