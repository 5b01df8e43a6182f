"""Admission: what a user sends becomes what is stored, once and for all, or is refused with paths and fixes."""

import copy
from typing import Any

import pytest

from kfn.api import kinds
from kfn.api.admission import admit
from kfn.api.base import Json
from kfn.api.errors import Invalid


def service(name: str = "hello", *, template: Json | None = None, traffic: list[Json] | None = None, **container: Any) -> Json:
    spec: Json = {"template": {"spec": {"containers": [{"image": "example.com/hello:1", **container}]}, **(template or {})}}
    if traffic is not None:
        spec["traffic"] = traffic
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def pod(**fields: Any) -> Json:
    obj = service()
    obj["spec"]["template"]["spec"].update(fields)
    return obj


def noted(**annotations: str) -> Json:
    notes = {f"autoscaling.knative.dev/{k.replace('_', '-')}": v for k, v in annotations.items()}
    return service(template={"metadata": {"annotations": notes}})


def trigger(**spec: Any) -> Json:
    spec = {"broker": "default", "subscriber": {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "f"}}, **spec}
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "t", "namespace": "default"}, "spec": spec}


def broker(**spec: Any) -> Json:
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "b", "namespace": "default"}, "spec": spec}


def kafka(**spec: Any) -> Json:
    spec = {"sink": {"uri": "http://x.example"}, "bootstrapServers": ["k.example:9092"], "topics": ["orders"], **spec}
    return {
        "apiVersion": "sources.knative.dev/v1",
        "kind": "KafkaSource",
        "metadata": {"name": "orders", "namespace": "default"},
        "spec": spec,
    }


def nats(**spec: Any) -> Json:
    spec = {"sink": {"uri": "http://x.example"}, "servers": ["nats://n.example:4222"], "subject": "orders.>", **spec}
    return {"apiVersion": "kfn.dev/v1alpha1", "kind": "NatsSource", "metadata": {"name": "orders", "namespace": "default"}, "spec": spec}


def webhook(**spec: Any) -> Json:
    spec = {"sink": {"uri": "http://x.example"}, **spec}
    return {"apiVersion": "kfn.dev/v1alpha1", "kind": "WebhookSource", "metadata": {"name": "gh", "namespace": "default"}, "spec": spec}


def api_server(**spec: Any) -> Json:
    spec = {"sink": {"uri": "http://x.example"}, "resources": [{"apiVersion": "v1", "kind": "Pod"}], **spec}
    return {
        "apiVersion": "sources.knative.dev/v1",
        "kind": "ApiServerSource",
        "metadata": {"name": "a", "namespace": "default"},
        "spec": spec,
    }


def job_sink(*containers: Json, **pod: Any) -> Json:
    job = {"spec": {"template": {"spec": {"containers": list(containers), **pod}}}}
    return {
        "apiVersion": "sinks.knative.dev/v1alpha1",
        "kind": "JobSink",
        "metadata": {"name": "j", "namespace": "default"},
        "spec": {"job": job},
    }


def ping(**spec: Any) -> Json:
    spec = {"sink": {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "default"}}, **spec}
    return {"apiVersion": "sources.knative.dev/v1", "kind": "PingSource", "metadata": {"name": "p", "namespace": "default"}, "spec": spec}


def create(obj: Json, user: str = "ann") -> Json:
    kind = kinds.find(obj["apiVersion"], obj["kind"])
    assert kind is not None
    return admit(kind, "CREATE", obj, None, user)


def refused(obj: Json, old: Json | None = None) -> dict[str, str]:
    kind = kinds.find(obj["apiVersion"], obj["kind"])
    assert kind is not None
    with pytest.raises(Invalid) as info:
        admit(kind, "UPDATE" if old else "CREATE", obj, old, "ann")
    return {e.path: e.message for e in info.value.errors}


# What other people's tools send, in the shapes they send it: Go's empty structs and nulls.
KN: Json = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "kn-made", "namespace": "default", "creationTimestamp": None},
    "spec": {
        "template": {
            "metadata": {
                "annotations": {"autoscaling.knative.dev/max-scale": "5", "client.knative.dev/user-image": "example.com/a:latest"},
                "creationTimestamp": None,
            },
            "spec": {
                "containers": [
                    {
                        "env": [{"name": "TARGET", "value": "kn"}, {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                        "image": "example.com/a:latest",
                        "name": "",
                        "ports": [{"containerPort": 8080, "name": "h2c", "protocol": "TCP"}],
                        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
                        "securityContext": {"runAsUser": 1001},
                    }
                ],
                "serviceAccountName": "sa",
                "imagePullSecrets": [{"name": "pull"}],
                "containerConcurrency": 20,
            },
        }
    },
    "status": {},
}
FUNC: Json = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {
        "name": "func-made",
        "namespace": "default",
        "creationTimestamp": None,
        "labels": {"function.knative.dev/name": "func-made", "boson.dev/function": "true"},
        "annotations": {"function.knative.dev/deployer": "knative"},
    },
    "spec": {
        "template": {
            "metadata": {"creationTimestamp": None, "annotations": {"autoscaling.knative.dev/target": "70.000000"}},
            "spec": {
                "containers": [
                    {
                        "image": "example.com/f@sha256:" + "0" * 64,
                        "name": "user-container",
                        "env": [{"name": "BUILT", "value": "20261121T000000"}, {"name": "ADDRESS", "value": "0.0.0.0"}],
                        "livenessProbe": {"httpGet": {"path": "/health/liveness", "port": 8080}},
                        "readinessProbe": {"httpGet": {"path": "/health/readiness", "port": 8080}},
                        "resources": {},
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "runAsNonRoot": True,
                            "capabilities": {"drop": ["ALL"]},
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                    }
                ],
                "volumes": [],
            },
        }
    },
    "status": {},
}

CORPUS = [
    service(),
    service(ports=[{"containerPort": 9000, "name": "h2c"}], env=[{"name": "A", "value": "1"}]),
    service(readinessProbe={"httpGet": {"path": "/ready"}, "periodSeconds": 5}, livenessProbe={"tcpSocket": {}}),
    service(template={"metadata": {"creationTimestamp": None, "annotations": {"autoscaling.knative.dev/minScale": "1"}}}),
    service(traffic=[{"revisionName": "hello-00001", "percent": 90}, {"latestRevision": True, "percent": 10, "tag": "next"}]),
    service(volumeMounts=[{"name": "v", "mountPath": "/v"}], template={}),
    pod(timeoutSeconds=600, containerConcurrency=10, nodeSelector={"gpu": "h200"}, tolerations=[{"key": "gpu", "operator": "Exists"}]),
    pod(containers=[{"image": "a", "ports": [{"containerPort": 1234}]}, {"image": "b"}, {"image": "c", "name": "user-container-0"}]),
    pod(
        runtimeClassName="nvidia",
        priorityClassName="high",
        resourceClaims=[{"name": "gpu"}],
        affinity={"nodeAffinity": {}},
        initContainers=[{"image": "i"}],
        volumes=[{"name": "model", "persistentVolumeClaim": {"claimName": "m"}}, {"name": "conf", "configMap": {"name": "c"}}],
        containers=[
            {
                "image": "a",
                "resources": {"limits": {"nvidia.com/gpu": 1}, "claims": [{"name": "gpu"}]},
                "volumeMounts": [{"name": "model", "mountPath": "/model"}, {"name": "conf", "mountPath": "/conf"}],
            }
        ],
    ),
    trigger(),
    trigger(filter={"attributes": {"type": "a", "source": ""}}, delivery={"retry": 3, "backoffDelay": "PT0.2S"}),
    ping(data="x", contentType="text/plain", timezone="Europe/Berlin", schedule="@daily"),
    api_server(),
    api_server(
        resources=[
            {"apiVersion": "apps/v1", "kind": "Deployment", "selector": {"matchExpressions": [{"key": "b/c", "operator": "Exists"}]}}
        ],
        owner={"apiVersion": "serving.knative.dev/v1", "kind": "Revision"},
        namespaceSelector={},
        mode="Resource",
        filters=[{"exact": {"kind": "Pod"}}],
    ),
    job_sink({"name": "c", "image": "i", "env": [{"name": "K_EXECUTION_MODE", "value": "other"}]}, restartPolicy="OnFailure"),
    webhook(),
    webhook(
        secret={"name": "mine", "key": "a.b"},
        eventSource="https://github.com/me/it",
        typeHeader="X-Event",
        ceOverrides={"extensions": {"a": "b"}},
    ),
    trigger(filters=[{"any": [{"prefix": {"type": "a."}}, {"not": {"exact": {"source": "s"}}}]}, {"cesql": "type = 'a'"}]),
    broker(),
    broker(config={"apiVersion": "v1", "kind": "ConfigMap", "name": "c"}, delivery={"deadLetterSink": {"uri": "http://dead.example"}}),
    KN,
    FUNC,
    service(ports=[{"containerPort": 0, "name": "h2c"}]),
]
CORPUS[5]["spec"]["template"]["spec"]["volumes"] = [{"name": "v", "secret": {"secretName": "s"}}]


class TestDefaults:
    @pytest.mark.parametrize("obj", CORPUS, ids=range(len(CORPUS)))
    def test_defaulting_twice_changes_nothing_and_the_input_is_left_alone(self, obj: Json) -> None:
        before = repr(obj)
        once = create(obj)
        assert repr(obj) == before
        kind = kinds.find(obj["apiVersion"], obj["kind"])
        assert kind is not None
        assert create(once) == once
        assert admit(kind, "UPDATE", once, once, "ann") == once
        assert admit(kind, "UPDATE", obj, once, "ann")["spec"] == once["spec"], "a PUT of the manifest makes no new generation"

    def test_a_service_gets_knatives_defaults(self) -> None:
        spec = create(service())["spec"]
        assert spec["traffic"] == [{"latestRevision": True, "percent": 100}]
        assert spec["template"]["spec"] == {
            "containerConcurrency": 0,
            "timeoutSeconds": 300,
            "enableServiceLinks": False,
            "containers": [
                {
                    "image": "example.com/hello:1",
                    "name": "user-container",
                    "resources": {},
                    "readinessProbe": {"tcpSocket": {"port": 0}, "successThreshold": 1},
                }
            ],
        }

    def test_latest_revision_follows_from_the_revision_name(self) -> None:
        traffic = create(service(traffic=[{"revisionName": "hello-00001", "percent": 100}, {"percent": 0}]))["spec"]["traffic"]
        assert [t["latestRevision"] for t in traffic] == [False, True]

    def test_a_long_timeout_brings_the_response_start_timeout(self) -> None:
        assert create(pod(timeoutSeconds=600))["spec"]["template"]["spec"]["responseStartTimeoutSeconds"] == 300

    def test_several_containers_get_numbered_names_and_only_the_serving_one_a_probe(self) -> None:
        containers = create(CORPUS[7])["spec"]["template"]["spec"]["containers"]
        assert [c["name"] for c in containers] == ["user-container-1", "user-container-2", "user-container-0"]
        assert ["readinessProbe" in c for c in containers] == [True, False, False]

    def test_a_probe_with_a_period_gets_thresholds(self) -> None:
        probe = create(CORPUS[2])["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
        assert (probe["failureThreshold"], probe["timeoutSeconds"], probe["successThreshold"]) == (3, 1, 1)

    def test_only_volumes_that_can_be_written_are_mounted_writable(self) -> None:
        mounts = create(CORPUS[8])["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        assert [m.get("readOnly") for m in mounts] == [None, True]

    def test_a_trigger_gets_a_filter_a_broker_label_and_namespaces(self) -> None:
        got = create(trigger())
        assert got["spec"]["filter"] == {}
        assert got["metadata"]["labels"] == {"eventing.knative.dev/broker": "default"}
        assert got["spec"]["subscriber"]["ref"]["namespace"] == "default"

    def test_a_broker_gets_the_class_kfn_unless_it_names_one(self) -> None:
        assert create(broker())["metadata"]["annotations"] == {"eventing.knative.dev/broker.class": "kfn"}
        other = broker()
        other["metadata"]["annotations"] = {"eventing.knative.dev/broker.class": "MTChannelBasedBroker"}
        assert create(other)["metadata"]["annotations"]["eventing.knative.dev/broker.class"] == "MTChannelBasedBroker"

    @pytest.mark.parametrize("secret", ["", "Upper", "a/b", "x" * 254])
    def test_publishers_of_a_broker_are_asked_for_tokens_of_a_secret_that_has_a_name(self, secret: str) -> None:
        guarded = broker()
        guarded["metadata"]["annotations"] = {"eventing.kfn.dev/auth": "kfn-events"}
        create(guarded)
        guarded["metadata"]["annotations"]["eventing.kfn.dev/auth"] = secret
        with pytest.raises(Invalid, match=r"metadata\.annotations\[eventing\.kfn\.dev/auth\]"):
            create(guarded)

    def test_a_webhook_source_is_signed_as_github_does_with_its_own_key_of_one_secret(self) -> None:
        assert create(webhook())["spec"] == {
            "sink": {"uri": "http://x.example"},
            "secret": {"name": "kfn-webhooks", "key": "gh"},
            "signatureHeader": "X-Hub-Signature-256",
            "eventType": "dev.kfn.sources.webhook",
            "typeHeader": "X-GitHub-Event",
            "idHeader": "X-GitHub-Delivery",
        }

    def test_a_nats_source_looks_into_the_secret_that_eventing_may_read(self) -> None:
        spec = create(nats(auth={"token": {"secretKeyRef": {"key": "t"}}}, jetstream={"stream": "S"}))["spec"]
        assert spec["auth"]["token"]["secretKeyRef"] == {"name": "kfn-sources", "key": "t"}
        assert (spec["jetstream"]["deliverPolicy"], spec["eventType"]) == ("all", "dev.kfn.sources.nats")

    def test_a_kafka_source_has_knatives_defaults_and_keeps_its_group(self) -> None:
        old = create(kafka(consumerGroup="g"))
        assert {name: old["spec"][name] for name in ("consumers", "initialOffset", "ordering")} == {
            "consumers": 1, "initialOffset": "latest", "ordering": "ordered",
        }  # fmt: skip
        with pytest.raises(Invalid, match="immutable"):
            admit(kinds.KAFKA_SOURCE, "UPDATE", kafka(consumerGroup="h"), old, "ann")

    def test_an_api_server_source_names_objects_with_the_rights_of_the_default_account(self) -> None:
        stored = create(api_server())["spec"]
        assert (stored["mode"], stored["serviceAccountName"]) == ("Reference", "default") and "namespaceSelector" not in stored
        assert create(api_server(namespaceSelector={}))["spec"]["namespaceSelector"] == {}

    def test_a_job_sinks_containers_are_told_that_they_run_as_a_batch(self) -> None:
        [container] = create(job_sink({"name": "c", "image": "i"}))["spec"]["job"]["spec"]["template"]["spec"]["containers"]
        assert container["env"] == [{"name": "K_EXECUTION_MODE", "value": "batch"}]

    def test_a_ping_source_fires_every_minute_unless_it_says_otherwise(self) -> None:
        stored = create(ping())
        assert stored["spec"]["schedule"] == "* * * * *"
        assert stored["spec"]["sink"]["ref"]["namespace"] == "default"

    def test_kinds_without_rules_pass_unchanged(self) -> None:
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "whatever": 1}
        assert create(obj) is obj


class TestWhoDidIt:
    def test_creator_and_last_modifier_are_the_user_at_first(self) -> None:
        notes = create(service(), user="ann")["metadata"]["annotations"]
        assert notes == {"serving.knative.dev/creator": "ann", "serving.knative.dev/lastModifier": "ann"}

    def test_only_a_changed_spec_changes_the_last_modifier(self) -> None:
        old = create(service(), user="ann")
        same = admit(kinds.SERVICE, "UPDATE", service(), old, "bob")
        assert same["metadata"]["annotations"]["serving.knative.dev/lastModifier"] == "ann"
        changed = admit(kinds.SERVICE, "UPDATE", service(args=["x"]), old, "bob")["metadata"]["annotations"]
        assert changed == {"serving.knative.dev/creator": "ann", "serving.knative.dev/lastModifier": "bob"}

    def test_the_creator_cannot_be_changed(self) -> None:
        old = create(service(), user="ann")
        new = service()
        new["metadata"]["annotations"] = {"serving.knative.dev/creator": "eve"}
        assert "immutable" in refused(new, old)["metadata.annotations[serving.knative.dev/creator]"]

    def test_what_a_controller_owns_is_not_signed(self) -> None:
        owner = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "hello", "uid": "1", "controller": True}
        obj = {"apiVersion": "serving.knative.dev/v1", "kind": "Route", "metadata": {"name": "hello", "ownerReferences": [owner]},
               "spec": {"traffic": [{"configurationName": "hello", "percent": 100}]}}  # fmt: skip
        assert "annotations" not in create(obj)["metadata"]


T = "spec.template.spec"
C = "spec.template.spec.containers[0]"
A = "spec.template.metadata.annotations[autoscaling.knative.dev/"

BAD: list[tuple[Json, str, str]] = [
    (service(image=""), f"{C}.image", "missing"),
    (service(image="Not An Image"), f"{C}.image", "registry/name:tag"),
    (pod(containers=[]), f"{T}.containers", "add one container"),
    (service(name="Hello_World"), "metadata.name", "such as 'hello-world'"),
    (service(name="a" * 64), "metadata.name", "at most 63 are possible; shorten it by 1"),
    (service(name=""), "metadata.name", "missing"),
    (service(ports=[{"containerPort": 80}, {"containerPort": 81}]), f"{C}.ports", "serves one"),
    (service(ports=[{"containerPort": 9090}]), f"{C}.ports[0].containerPort", "reserved"),
    (service(ports=[{"containerPort": 70000}]), f"{C}.ports[0].containerPort", "0 to 65535"),
    (service(ports=[{"containerPort": 80, "hostPort": 80}]), f"{C}.ports[0].hostPort", "not allowed"),
    (service(ports=[{"containerPort": 80, "name": "grpc"}]), f"{C}.ports[0].name", "h2c"),
    (service(ports=[{"containerPort": 80, "protocol": "UDP"}]), f"{C}.ports[0].protocol", "TCP"),
    (service(env=[{"name": "PORT", "value": "1"}]), f"{C}.env[0].name", "set by the platform"),
    (service(env=[{"name": "A", "value": 1}]), f"{C}.env[0].value", "in quotes"),
    (service(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]), f"{C}.env[0].valueFrom.secretKeyRef", "a key"),
    (service(stdin=True), f"{C}.stdin", "not allowed"),
    (service(lifecycle={"preStop": {}}), f"{C}.lifecycle", "not allowed"),
    (service(tty=True), f"{C}.tty", "not allowed"),
    (service(securityContext={"runAsUser": "root"}), f"{C}.securityContext.runAsUser", "expected int"),
    (pod(tolerations=[{"key": "gpu"}, {"key": 1}]), f"{T}.tolerations[1].key", "in quotes"),
    (pod(tolerations={"key": "gpu"}), f"{T}.tolerations", "array"),
    (pod(affinity={"nodeAffinity": {"required": {}}}), f"{T}.affinity.nodeAffinity.required", "requiredDuringScheduling"),
    (service(imag="x"), f"{C}.imag", 'did you mean "image"?'),
    (service(volumeMounts=[{"name": "v", "mountPath": "/v"}]), f"{C}.volumeMounts[0].name", "no volume 'v'"),
    (pod(volumes=[{"name": "v", "emptyDir": {}}]), f"{T}.volumes[0].name", "not mounted"),
    (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), f"{T}.volumes[0].hostPath", "use one of"),
    (service(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "500m"}}), f"{C}.resources.requests.cpu", "more than its limit"),
    (service(resources={"limits": {"memory": "1 GB"}}), f"{C}.resources.limits.memory", "128Mi"),
    (service(securityContext={"privileged": True}), f"{C}.securityContext.privileged", "only false"),
    (service(readinessProbe={"timeoutSeconds": 2}), f"{C}.readinessProbe.timeoutSeconds", "periodSeconds"),
    (service(readinessProbe={"tcpSocket": {}, "httpGet": {}}), f"{C}.readinessProbe", "exactly one"),
    (service(ports=[{"containerPort": 80}], readinessProbe={"tcpSocket": {"port": 81}}), f"{C}.readinessProbe.tcpSocket.port", "(80)"),
    (service(securityContext={"runAsUser": -10}), f"{C}.securityContext.runAsUser", "0 to 2147483647"),
    (pod(serviceAccountName="foo@bar.baz"), f"{T}.serviceAccountName",
     "invalid value: foo@bar.baz: spec.template.spec.serviceAccountName\na lowercase RFC 1123 subdomain must consist of"),
    (pod(hostNetwork=True), f"{T}.hostNetwork", "not allowed"),
    (pod(automountServiceAccountToken=True), f"{T}.automountServiceAccountToken", "only false"),
    (pod(containerConcurrency=1001), f"{T}.containerConcurrency", "0 to 1000"),
    (pod(timeoutSeconds=601), f"{T}.timeoutSeconds", "0 to 600"),
    (pod(timeoutSeconds="5m"), f"{T}.timeoutSeconds", "expected int"),
    (pod(timeoutSeconds=10, idleTimeoutSeconds=20), f"{T}.idleTimeoutSeconds", "0 to 10"),
    (pod(containers=[{"image": "a"}, {"image": "b"}]), f"{T}.containers", "none has a port"),
    (pod(containers=[{"image": "a", "name": "x"}, {"image": "b", "name": "x", "ports": [{"containerPort": 80}]}]),
     f"{T}.containers[1].name", "taken"),
    (service(template={"metadata": {"name": "other-1"}}), "spec.template.metadata.name", "begin with 'hello-'"),
    (service(template={"metadata": {"name": "hello-" + "a" * 58}}), "spec.template.metadata.name", "at most 63"),
    (service(template={"metadata": {"annotations": {"x": 1}}}), "spec.template.metadata.annotations[x]", "in quotes"),
    (service(traffic=[{"percent": 50}]), "spec.traffic", "make 50, not 100"),
    (service(traffic=[{"percent": 101}]), "spec.traffic[0].percent", "0 to 100"),
    (service(traffic=[{"percent": 100, "tag": "A"}]), "spec.traffic[0].tag", "DNS label"),
    (service(traffic=[{"percent": 50, "tag": "a"}, {"percent": 50, "tag": "a"}]), "spec.traffic[1].tag", "rename one"),
    (service(traffic=[{"percent": 100, "configurationName": "hello"}]), "spec.traffic[0].configurationName", "remove it"),
    (service(traffic=[{"percent": 100, "revisionName": "r", "latestRevision": True}]), "spec.traffic[0].latestRevision", "remove one"),
    (service(traffic=[{"percent": 100, "latestRevision": False}]), "spec.traffic[0].latestRevision", "name the revision"),
    (noted(min_scale="-1"), f"{A}min-scale]", "at least 0"),
    (noted(min_scale="5", max_scale="2"), f"{A}min-scale]", "more than max-scale"),
    (noted(initial_scale="-1"), f"{A}initial-scale]", "at least 0"),
    (noted(target="0"), f"{A}target]", "at least 0.01"),
    (noted(target_utilization_percentage="120"), f"{A}target-utilization-percentage]", "from 1 to 100"),
    (noted(window="5s"), f"{A}window]", "from 6s to 3600s"),
    (noted(window="60"), f"{A}window]", "with a unit"),
    (noted(panic_threshold_percentage="100"), f"{A}panic-threshold-percentage]", "from 110 to 1000"),
    (noted(scale_down_delay="2h"), f"{A}scale-down-delay]", "to 3600s"),
    (noted(metric="cpu"), f"{A}metric]", "concurrency or rps"),
    (noted(min_scales="1"), f"{A}min-scales]", 'did you mean "autoscaling.knative.dev/min-scale"?'),
    (trigger(broker=""), "spec.broker", "missing"),
    (trigger(subscriber={}), "spec.subscriber", "ref"),
    (trigger(subscriber={"ref": {"kind": "Service"}}), "spec.subscriber.ref.name", "missing"),
    (trigger(subscriber={"uri": "f.default"}), "spec.subscriber.uri", "http://"),
    (trigger(filter={"attributes": {"Type": "a"}}), "spec.filter.attributes[Type]", "such as 'type'"),
    (trigger(filters=[{"exact": {"type": "a"}, "prefix": {"type": "a"}}]), "spec.filters[0]", "exactly one of"),
    (api_server(sink={}), "spec.sink", "missing"),
    (api_server(resources=[]), "spec.resources", "at least one"),
    (api_server(resources=[{"apiVersion": "v1"}]), "spec.resources[0].kind", "such as Pod"),
    (api_server(resources=[{"apiVersion": "V 1", "kind": "Pod"}]), "spec.resources[0].apiVersion", "apps/v1"),
    (
        api_server(resources=[{"apiVersion": "v1", "kind": "Pod", "selector": {"matchLabels": {"a b": "c"}}}]),
        "spec.resources[0].selector.matchLabels[a b]",
        "no label",
    ),
    (api_server(owner={"kind": "Revision"}), "spec.owner.apiVersion", "write v1"),
    (api_server(mode="Both"), "spec.mode", "use Reference or Resource"),
    (api_server(serviceAccountName="A b"), "spec.serviceAccountName", "lower-case"),
    (api_server(filters=[{"exact": {}}]), "spec.filters[0].exact", "missing"),
    (job_sink(), "spec.job.spec.template.spec.containers", "at least one"),
    (job_sink({"name": "c"}), "spec.job.spec.template.spec.containers[0].image", "missing"),
    (job_sink({"name": "c", "image": "i"}, restartPolicy="Always"), "spec.job.spec.template.spec.restartPolicy", "Never or OnFailure"),
    (webhook(sink={}), "spec.sink", "missing"),
    (webhook(signatureHeader="X Sig"), "spec.signatureHeader", "no name of an HTTP header"),
    (webhook(eventType="a b"), "spec.eventType", "a space"),
    (webhook(secret={"name": "Mine!", "key": "k"}), "spec.secret.name", "lower-case"),
    (webhook(secret={"key": "a/b"}), "spec.secret.key", "no key of a Secret"),
    (webhook(ceOverrides={"extensions": {"id": "b"}}), "spec.ceOverrides.extensions[id]", "CloudEvents' own"),
    (kafka(bootstrapServers=[]), "spec.bootstrapServers", "kafka.example:9092"),
    (kafka(bootstrapServers=["k.example"]), "spec.bootstrapServers[0]", "host:port"),
    (kafka(topics=[]), "spec.topics", "at least one"),
    (kafka(topics=["a b"]), "spec.topics[0]", "is no topic"),
    (kafka(initialOffset="middle"), "spec.initialOffset", "earliest nor latest"),
    (kafka(ordering="some"), "spec.ordering", "nor unordered"),
    (kafka(consumers=-1), "spec.consumers", "0 to pause"),
    (kafka(net={"sasl": {"enable": True, "user": {"secretKeyRef": {"key": "u"}}}}), "spec.net.sasl.password", "in which Secret"),
    (nats(servers=[]), "spec.servers", "nats://nats.example:4222"),
    (nats(servers=["nats://me:pass@n.example"]), "spec.servers[0]", "put them into a Secret"),
    (nats(servers=["http://n.example"]), "spec.servers[0]", "tls://host:4222"),
    (nats(subject=""), "spec.subject", "such as orders.>"),
    (nats(subject="a.>.b"), "spec.subject", "is no subject"),
    (nats(queueGroup="q", jetstream={"stream": "S"}), "spec.queueGroup", "remove it"),
    (nats(jetstream={"stream": "a b"}), "spec.jetstream.stream", "no stream's name"),
    (nats(jetstream={"stream": "S", "deliverPolicy": "some"}), "spec.jetstream.deliverPolicy", "lastPerSubject"),
    (nats(auth={"user": {"secretKeyRef": {"key": "u"}}}), "spec.auth", "user and password, token"),
    (nats(auth={"token": {"secretKeyRef": {"key": "a/b"}}}), "spec.auth.token.secretKeyRef.key", "no key of a Secret"),
    (nats(tls={"enable": True, "cert": {"secretKeyRef": {"key": "c"}}}), "spec.tls.key", "takes both"),
    (nats(tls={"caCert": {"secretKeyRef": {"key": "c"}}}), "spec.tls.enable", "set it"),
    (ping(schedule="61 * * * *"), "spec.schedule", "its minute is wrong"),
    (ping(timezone="Mars/Olympus"), "spec.timezone", "Europe/Berlin"),
    (ping(sink={}), "spec.sink", "ref (an object) or uri"),
    (ping(data="x", dataBase64="eA=="), "spec.data", "keep one"),
    (ping(dataBase64="not base64"), "spec.dataBase64", "is not base64"),
    (ping(ceOverrides={"extensions": {"type": "x"}}), "spec.ceOverrides.extensions[type]", "CloudEvents' own"),
    (ping(ceOverrides={"extensions": {"Not-Ok": "x"}}), "spec.ceOverrides.extensions[Not-Ok]", "lower-case letters"),
    (trigger(filters=[{"all": [{"glob": {}}]}]), "spec.filters[0].all[0]", "exactly one of"),
    (trigger(filters=[{"not": {"cesql": "type = 'a' AND size >"}}]), "spec.filters[0].not.cesql", "column 22: expected an attribute"),
    (trigger(filters=[{"cesql": "NOSUCH(type)"}]), "spec.filters[0].cesql", "there is no function NOSUCH"),
    (trigger(filters=[{"cesql": " "}]), "spec.filters[0].cesql", "missing; write an expression"),
    (trigger(delivery={"backoffDelay": "200ms"}), "spec.delivery.backoffDelay", "PT0.2S"),
    (trigger(delivery={"backoffPolicy": "never"}), "spec.delivery.backoffPolicy", "linear or exponential"),
    (trigger(delivery={"retry": -1}), "spec.delivery.retry", "0 or more"),
    (broker(delivery={"timeout": "PT0S"}), "spec.delivery.timeout", "more than zero"),
]  # fmt: skip


class TestRefusals:
    @pytest.mark.parametrize(("obj", "path", "said"), BAD, ids=[f"{p}-{i}" for i, (_, p, _) in enumerate(BAD)])
    def test_the_error_names_the_field_and_the_fix(self, obj: Json, path: str, said: str) -> None:
        errors = refused(obj)
        assert path in errors, errors
        assert said in errors[path]

    def test_every_error_is_told_at_once_in_a_message_as_kubernetes_writes_it(self) -> None:
        with pytest.raises(Invalid) as info:
            create(service(image="", stdin=True))
        assert str(info.value).startswith(
            'Service.serving.knative.dev "hello" is invalid: spec.template.spec.containers[0].stdin: not allowed'
        )
        assert "spec.template.spec.containers[0].image: missing" in str(info.value)
        assert [c["field"] for c in info.value.causes()] == [f"{C}.stdin", f"{C}.image"]

    def test_autoscaling_annotations_belong_to_the_template(self) -> None:
        obj = service()
        obj["metadata"]["annotations"] = {"autoscaling.knative.dev/min-scale": "1"}
        assert "move it to spec.template" in refused(obj)["metadata.annotations[autoscaling.knative.dev/min-scale]"]

    @pytest.mark.parametrize("hosts", ["shop.org", "shop.org,*.shop.org", " a.b , c.d ", "xn--bcher-kva.example", "my-svc.org", "*.a.b"])
    def test_hosts_of_the_users_own_are_whole_names_or_wildcards(self, hosts: str) -> None:
        obj = service()
        obj["metadata"]["annotations"] = {"kfn.dev/hosts": hosts}
        create(obj)

    @pytest.mark.parametrize(
        ("hosts", "said"),
        [
            pytest.param("", "names no host", id="none"),
            pytest.param("Shop.org", "use lower-case letters", id="upper case"),
            pytest.param("shop.org:80", "use lower-case letters", id="a port"),
            pytest.param("https://shop.org", "use lower-case letters", id="a url"),
            pytest.param("a.*.org", "use lower-case letters", id="a wildcard in the middle"),
            pytest.param("*", "use lower-case letters", id="a wildcard for everything"),
            pytest.param("*.org", "has too few labels; use a whole domain name, such as *.org.example.com", id="a wildcard too wide"),
            pytest.param("shop", "has too few labels", id="a label"),
            pytest.param("10.0.0.1", "is an IP address", id="an address"),
            pytest.param("hello.default.svc.cluster.local", "is a name in the cluster", id="a name in the cluster"),
            pytest.param("*.other.svc", "is a name in the cluster", id="many names in the cluster"),
            pytest.param("a.org,a.org", "'a.org' is there twice", id="twice"),
            pytest.param(f"{'a' * 64}.org", "at most 63 are possible between two dots", id="a long label"),
            pytest.param(".".join(["abc"] * 64), "at most 253 are possible", id="a long name"),
            pytest.param(",".join(f"a{i}.org" for i in range(33)), "33 hosts; at most 32", id="many"),
        ],
    )
    def test_other_hosts_are_refused(self, hosts: str, said: str) -> None:
        obj = service()
        obj["metadata"]["annotations"] = {"kfn.dev/hosts": hosts}
        assert said in refused(obj)["metadata.annotations[kfn.dev/hosts]"]

    def test_a_cluster_local_service_has_no_host_outside(self) -> None:
        obj = service()
        obj["metadata"] |= {"annotations": {"kfn.dev/hosts": "a.org"}, "labels": {"networking.knative.dev/visibility": "cluster-local"}}
        assert "a cluster-local function has no name outside" in refused(obj)["metadata.annotations[kfn.dev/hosts]"]

    def test_a_revisions_spec_is_immutable_and_the_changed_field_is_named(self) -> None:
        def revision(image: str) -> Json:
            return {"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "metadata": {"name": "hello-00001"},
                    "spec": {"containers": [{"image": image}]}}  # fmt: skip

        old = create(revision("a"))
        assert list(refused(revision("b"), old)) == ["spec.containers[0].image"]
        assert admit(kinds.REVISION, "UPDATE", revision("a"), old, "ann")["spec"] == old["spec"]

    def test_a_revision_name_of_ones_own_changes_with_the_template(self) -> None:
        named: Json = {"metadata": {"name": "hello-v1"}}
        old = create(service(template=named))
        assert "did not" in refused(service(template=named, args=["x"]), old)["spec.template.metadata.name"]
        assert admit(kinds.SERVICE, "UPDATE", service(template={"metadata": {"name": "hello-v2"}}, args=["x"]), old, "ann")

    def test_a_triggers_broker_and_a_brokers_class_are_immutable(self) -> None:
        assert "immutable" in refused(trigger(broker="other"), create(trigger()))["spec.broker"]
        changed = broker()
        changed["metadata"]["annotations"] = {"eventing.knative.dev/broker.class": "other"}
        assert "immutable" in refused(changed, create(broker()))["metadata.annotations[eventing.knative.dev/broker.class]"]

    def test_an_object_that_is_being_deleted_is_not_checked_any_more(self) -> None:
        obj = service(image="")
        obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        assert admit(kinds.SERVICE, "UPDATE", obj, obj, "ann") == obj

    def test_unknown_fields_of_status_and_metadata_are_left_to_kubernetes(self) -> None:
        obj = service()
        obj["metadata"]["somethingNew"] = 1
        obj["status"] = {"later": 1}
        assert create(obj)["metadata"]["somethingNew"] == 1


class TestWhatAnOlderKfnLetIn:
    """Rules and defaults that came later: what is stored can still be labelled, deleted and mended piece by piece."""

    def stored(self, **container: Any) -> Json:
        obj = create(service())
        obj["spec"]["template"]["spec"]["containers"][0].update(container)
        return obj

    def test_its_metadata_can_be_changed_though_its_spec_would_be_refused_now(self) -> None:
        old = self.stored(stdin=True, ports=[{"containerPort": 9090}])
        new = copy.deepcopy(old)
        new["metadata"]["labels"] = {"team": "a"}
        admitted = admit(kinds.SERVICE, "UPDATE", new, old, "bob")
        assert admitted["spec"] == old["spec"]
        assert admitted["metadata"]["annotations"]["serving.knative.dev/lastModifier"] == "ann"

    def test_another_field_can_be_changed_and_the_old_fault_stays(self) -> None:
        old = self.stored(stdin=True)
        new = self.stored(stdin=True, args=["x"])
        assert admit(kinds.SERVICE, "UPDATE", new, old, "bob")["spec"] == new["spec"]

    def test_a_new_fault_is_refused_and_told_alone(self) -> None:
        old = self.stored(stdin=True)
        assert list(refused(self.stored(stdin=True, tty=True), old)) == [f"{C}.tty"]

    def test_a_new_label_does_not_bring_defaults_that_came_later_so_it_makes_no_new_revision(self) -> None:
        old = create(service())
        del old["spec"]["template"]["spec"]["enableServiceLinks"]
        new = copy.deepcopy(old)
        new["metadata"]["labels"] = {"team": "a"}
        assert admit(kinds.SERVICE, "UPDATE", new, old, "ann")["spec"] == old["spec"]
        new["spec"]["template"]["spec"]["timeoutSeconds"] = 10
        assert admit(kinds.SERVICE, "UPDATE", new, old, "ann")["spec"]["template"]["spec"]["enableServiceLinks"] is False

    def test_a_revision_without_later_defaults_can_be_labelled(self) -> None:
        old: Json = {"apiVersion": "serving.knative.dev/v1", "kind": "Revision", "metadata": {"name": "hello-00001"},
                     "spec": {"containers": [{"image": "a"}]}}  # fmt: skip
        new = copy.deepcopy(old)
        new["metadata"]["labels"] = {"serving.knative.dev/routingState": "active"}
        assert admit(kinds.REVISION, "UPDATE", new, old, "ann") == new

    def test_a_fault_of_type_stays_only_where_nothing_of_the_spec_changes(self) -> None:
        old = self.stored(env=[{"name": "A", "value": 1}])
        new = copy.deepcopy(old)
        new["metadata"]["labels"] = {"team": "a"}
        assert admit(kinds.SERVICE, "UPDATE", new, old, "ann") == new
        new["spec"]["template"]["spec"]["containers"][0]["args"] = ["x"]
        assert "in quotes" in refused(new, old)[f"{C}.env[0].value"]

    def test_what_may_not_change_may_still_not(self) -> None:
        old = create(trigger())
        old["spec"]["delivery"] = {"retry": -1}
        new = copy.deepcopy(old)
        new["spec"]["broker"] = "other"
        assert list(refused(new, old)) == ["spec.broker"]
