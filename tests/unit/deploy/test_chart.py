"""What the chart becomes, over several sets of values: it holds together, keeps the restricted standard and grants no more than is used."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from builder.cluster import access
from cli import autoscaler, controller
from controller.webhook import configuration
from controller.webhook import settings as webhook_settings
from deploy import chartfiles
from kfn.api import kinds
from kfn.version import VERSION
from tests.peers.helm import CHART, NAMESPACE, ROOT, binary, helm, refused, rendered
from tests.unit.deploy import restricted

Json = dict[str, Any]

FULL: Json = {
    "image": {"registry": "registry.example:5000/team", "digest": f"sha256:{'a' * 64}", "pullSecrets": ["login"]},
    "domain": "fn.example.net",
    "scheme": "https",
    "priorityClassName": "system-cluster-critical",
    "commonLabels": {"team": "platform"},
    "gateway": {
        "workers": 4,
        "autoscaling": {"enabled": True},
        "accessLog": {"enabled": True, "sample": 0.1},
        "service": {"type": "NodePort", "nodePort": 30080, "tlsNodePort": 30443},
        "tls": {"secretName": "front", "extraSecretNames": ["other"], "secretsNamespace": "certificates", "redirect": True},
    },
    "nats": {"replicas": 3},
    "builds": {"networkPolicyNamespaces": ["team-a"], "plainHttp": ["kfn-registry.kfn-system:5000"]},
    "registry": {"enabled": True, "htpasswdSecret": "users"},
    "monitoring": {"podMonitor": True, "prometheusRule": True, "dashboards": True},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
    "ingress": {"enabled": True, "hosts": ["*.default.fn.example.net"]},
    "tracing": {"endpoint": "http://collector:4318"},
}
SMALL: Json = {
    "eventing": {"enabled": False},
    "builds": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "rbac": {"aggregate": False},
    "digestResolution": {"pullSecrets": False},
    "gateway": {"replicas": 1, "slots": {"enabled": False}, "service": {"type": "ClusterIP"}, "podDisruptionBudget": {"enabled": False}},
    "test": {"function": False},
}
EXTERNAL: Json = {
    "tokens": {"existingSecret": "own-tokens"},
    "nats": {"enabled": False, "url": "nats://nats.messaging:4222", "streamReplicas": 3, "auth": {"existingSecret": "own-nats"}},
}
EMPTY_DIR: Json = {"nats": {"persistence": {"enabled": False}}}
VALUES = {"default": {}, "full": FULL, "small": SMALL, "external": EXTERNAL, "emptydir": EMPTY_DIR}
GIVEN_FROM_OUTSIDE = {"login", "front", "other", "users", "own-tokens", "own-nats"}  # Secrets that the values above name
CLUSTER_SCOPED = {
    "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
}  # fmt: skip


@pytest.fixture(params=VALUES)
def objects(request: pytest.FixtureRequest) -> list[Json]:
    return rendered(VALUES[request.param])


def of(objects: list[Json], *wanted: str) -> list[Json]:
    return [one for one in objects if one["kind"] in wanted]


def core_services(objects: list[Json]) -> list[Json]:
    return [one for one in of(objects, "Service") if one["apiVersion"] == "v1"]


def named(objects: list[Json], kind: str, name: str) -> Json:
    (one,) = (one for one in of(objects, kind) if one["metadata"]["name"] == name)
    return one


def pods(objects: list[Json]) -> Iterator[tuple[str, Json, Json]]:
    """Name, labels and spec of each pod and each pod template, a function's among them."""
    for one in objects:
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield name, one["metadata"]["labels"], one["spec"]
        elif "template" in one.get("spec", {}):
            template = one["spec"]["template"]
            yield name, template.get("metadata", {}).get("labels", {}), template["spec"]


def own_pods(objects: list[Json]) -> Iterator[tuple[str, Json, Json]]:
    return ((name, labels, spec) for name, labels, spec in pods(objects) if labels)


def container(objects: list[Json], kind: str, name: str) -> Json:
    found: Json = named(objects, kind, name)["spec"]["template"]["spec"]["containers"][0]
    return found


def rules(objects: list[Json]) -> Iterator[tuple[str, Json]]:
    for one in of(objects, "Role", "ClusterRole"):
        for rule in one["rules"]:
            yield one["metadata"]["name"], rule


def role_of(objects: list[Json], component: str) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """What a component may do, as group, resource, verb and names."""
    return sorted(
        (group, resource, verb, tuple(rule.get("resourceNames", ())))
        for name, rule in rules(objects)
        if name == f"kfn-{component}"
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


class TestEveryObject:
    def test_is_there_once(self, objects: list[Json]) -> None:
        names = [(one["apiVersion"], one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
        assert len(names) == len(set(names))

    def test_has_the_labels_that_tools_look_for(self, objects: list[Json]) -> None:
        for one in objects:
            labels = one["metadata"]["labels"]
            assert labels["app.kubernetes.io/part-of"] == "kfn", one["metadata"]["name"]
            assert labels["app.kubernetes.io/instance"] == "kfn"
            assert labels["app.kubernetes.io/version"] == VERSION

    def test_names_its_namespace(self, objects: list[Json]) -> None:
        for one in objects:
            assert ("namespace" in one["metadata"]) != (one["kind"] in CLUSTER_SCOPED), one["metadata"]["name"]

    def test_follows_the_releases_namespace(self) -> None:
        text = json.dumps(rendered({"nats": {"replicas": 3}}, namespace="elsewhere"))
        assert "kfn-autoscaler.elsewhere.svc.cluster.local" in text
        for one in rendered({"nats": {"replicas": 3}}, namespace="elsewhere"):
            if one["kind"] != "CustomResourceDefinition":
                assert "kfn-system" not in json.dumps(one), one["metadata"]["name"]


class TestEveryPod:
    def test_keeps_the_restricted_pod_security_standard(self, objects: list[Json]) -> None:
        found = {name: list(restricted.faults(spec)) for name, labels, spec in own_pods(objects)}
        assert found
        assert not {name: faults for name, faults in found.items() if faults}

    def test_cannot_write_its_image_and_has_no_service_links(self, objects: list[Json]) -> None:
        for name, _, spec in own_pods(objects):
            assert spec["enableServiceLinks"] is False, name
            assert all(one["securityContext"]["readOnlyRootFilesystem"] for one in spec["containers"]), name

    def test_has_a_token_only_if_it_talks_to_the_api_server(self, objects: list[Json]) -> None:
        talk = {"kfn-gateway", "kfn-controller", "kfn-autoscaler", "kfn-eventing"}
        for name, _, spec in own_pods(objects):
            assert spec["automountServiceAccountToken"] is (spec["serviceAccountName"] in talk), name
        for one in of(objects, "ServiceAccount"):
            assert one["automountServiceAccountToken"] is False

    def test_runs_under_an_account_of_its_own(self, objects: list[Json]) -> None:
        accounts = {one["metadata"]["name"] for one in of(objects, "ServiceAccount")}
        used = [spec["serviceAccountName"] for name, _, spec in own_pods(objects) if not name.startswith("Pod ")]
        assert set(used) == accounts
        assert len(used) == len(set(used))

    def test_asks_for_cpu_and_memory_and_is_bound_in_memory_alone(self, objects: list[Json]) -> None:
        for name, _, spec in own_pods(objects):
            for one in spec["containers"]:
                assert {"cpu", "memory"} <= set(one["resources"]["requests"]), name
                assert set(one["resources"]["limits"]) == {"memory"}, f"{name}: a process that is throttled is late for everybody"

    def test_mounts_what_it_has_and_has_what_it_mounts(self, objects: list[Json]) -> None:
        for name, _, spec in own_pods(objects):
            volumes = [one["name"] for one in spec.get("volumes", [])]
            if name.startswith("StatefulSet"):
                templates = named(objects, "StatefulSet", name.split()[1])["spec"].get("volumeClaimTemplates", [])
                volumes += [one["metadata"]["name"] for one in templates]
            mounted = {one["name"] for c in (*spec.get("initContainers", []), *spec["containers"]) for one in c.get("volumeMounts", [])}
            assert sorted(volumes) == sorted(mounted), name

    def test_bounds_what_it_may_write_to_its_node(self, objects: list[Json]) -> None:
        for name, _, spec in own_pods(objects):
            for volume in spec.get("volumes", []):
                if "emptyDir" in volume:
                    assert volume["emptyDir"]["sizeLimit"], name

    def test_is_asked_on_ports_that_it_has(self, objects: list[Json]) -> None:
        for name, _, spec in own_pods(objects):
            for one in spec["containers"]:
                ports = {port["name"] for port in one.get("ports", [])}
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    if probe in one:
                        asked = one[probe].get("httpGet") or one[probe]["tcpSocket"]
                        assert asked["port"] in ports, f"{name}: {probe}"

    def test_holds_no_secret_in_an_argument_or_a_plain_variable(self, objects: list[Json]) -> None:
        """Tokens come by file, or by a variable that names a Secret."""
        secrets = [base64.b64decode(value).decode() for one in of(objects, "Secret") for value in one.get("data", {}).values()]
        text = json.dumps([spec for _, _, spec in pods(objects)]) + json.dumps(of(objects, "ConfigMap"))
        assert not [secret for secret in secrets if len(secret) > 10 and secret in text]


class TestReferences:
    def test_every_service_selects_pods_that_have_its_ports(self, objects: list[Json]) -> None:
        for service in core_services(objects):
            name, selector = service["metadata"]["name"], service["spec"].get("selector")
            if name == "kfn-autoscaler":
                assert selector is None, "who leads writes its EndpointSlice"
                continue
            chosen = [spec for _, labels, spec in own_pods(objects) if selector.items() <= labels.items()]
            assert len(chosen) == 1, name
            ports = {port["name"] for one in chosen[0]["containers"] for port in one["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, name

    def test_every_budget_and_workload_selects_its_own_pods(self, objects: list[Json]) -> None:
        for one in of(objects, "PodDisruptionBudget", "Deployment", "StatefulSet"):
            selector = one["spec"]["selector"]["matchLabels"]
            chosen = [name for name, labels, _ in own_pods(objects) if selector.items() <= labels.items()]
            assert len(chosen) == 1, one["metadata"]["name"]

    def test_every_secret_configmap_and_key_is_there(self, objects: list[Json]) -> None:
        there = {(one["kind"], one["metadata"]["name"]): set(one.get("data", {})) for one in of(objects, "Secret", "ConfigMap")}
        for name, _, spec in pods(objects):
            for kind, referred, keys in _referred(spec):
                if referred not in GIVEN_FROM_OUTSIDE:
                    assert (kind, referred) in there, f"{name} names the {kind} {referred}"
                    assert keys <= there[kind, referred], f"{name} wants {keys} of {referred}"

    def test_every_role_that_is_bound_is_there_and_so_is_who_has_it(self, objects: list[Json]) -> None:
        accounts = {one["metadata"]["name"] for one in of(objects, "ServiceAccount")}
        for one in of(objects, "RoleBinding", "ClusterRoleBinding"):
            assert named(objects, one["roleRef"]["kind"], one["roleRef"]["name"])
            assert {subject["name"] for subject in one["subjects"]} <= accounts

    def test_every_webhook_asks_a_service_that_is_there(self, objects: list[Json]) -> None:
        for one in of(objects, "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
            for webhook in one["webhooks"]:
                service = named(core_services(objects), "Service", webhook["clientConfig"]["service"]["name"])
                assert webhook["clientConfig"]["service"]["port"] in {port["port"] for port in service["spec"]["ports"]}

    def test_every_network_policy_selects_pods(self, objects: list[Json]) -> None:
        labelled = [labels for _, labels, _ in own_pods(objects)]
        for one in of(objects, "NetworkPolicy"):
            selector = one["spec"]["podSelector"]["matchLabels"]
            if one["metadata"]["name"] != "kfn-build":
                assert any(selector.items() <= labels.items() for labels in labelled), one["metadata"]["name"]

    def test_every_pod_has_a_network_policy_of_its_own(self) -> None:
        objects = rendered(FULL)
        policies = [
            one["spec"]["podSelector"]["matchLabels"]
            for one in of(objects, "NetworkPolicy")
            if one["metadata"]["name"] not in ("kfn-default-deny", "kfn-build")
        ]
        for name, labels, _ in own_pods(objects):
            assert any(selector.items() <= labels.items() for selector in policies), name


def _referred(spec: Json) -> Iterator[tuple[str, str, set[str]]]:
    """Every Secret and ConfigMap that a pod names, and the keys that it wants of it."""
    for volume in spec.get("volumes", []):
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], {item["key"] for item in volume["secret"].get("items", [])}
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], {item["key"] for item in volume["configMap"].get("items", [])}
    for one in spec["containers"]:
        for variable in one.get("env", []):
            for kind, field in (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")):
                if field in variable.get("valueFrom", {}):
                    found = variable["valueFrom"][field]
                    yield kind, found["name"], {found["key"]}


class TestRights:
    def test_no_rule_has_a_wildcard_or_more_than_it_says(self, objects: list[Json]) -> None:
        for name, rule in rules(objects):
            text = json.dumps(rule)
            assert "*" not in text, name
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"]), name

    def test_the_gateway_only_looks(self) -> None:
        assert {(group, resource, verb) for group, resource, verb, _ in role_of(rendered(), "gateway")} == {
            (group, resource, verb)
            for group, resource in (
                ("serving.knative.dev", "routes"),
                ("serving.knative.dev", "revisions"),
                ("discovery.k8s.io", "endpointslices"),
            )
            for verb in ("list", "watch")
        }

    @pytest.mark.parametrize("allowed", [True, False], ids=["as the value says", "or not at all"])
    def test_secrets_are_read_one_by_one_or_by_name(self, allowed: bool) -> None:
        objects = rendered({"digestResolution": {"pullSecrets": allowed}})
        everywhere = [rule for name, rule in rules(objects) if "secrets" in rule["resources"] and "resourceNames" not in rule]
        read = [verbs for rule in everywhere if (verbs := rule["verbs"]) != ["create"]]  # JobSinks' are made and not read
        assert read == ([["get"]] if allowed else [])
        by_name = [rule for name, rule in rules(objects) if "secrets" in rule["resources"] and "resourceNames" in rule]
        assert sorted(rule["resourceNames"] for rule in by_name) == [["kfn-webhook-certs"], ["kfn-webhooks", "kfn-events", "kfn-sources"]]
        [webhooks] = [rule for rule in by_name if rule["resourceNames"] == ["kfn-webhooks", "kfn-events", "kfn-sources"]]
        assert webhooks["verbs"] == ["get"], "what webhooks are signed with and publishers show, in every namespace"

    def test_nobody_makes_or_runs_pods_by_themselves(self) -> None:
        for name, rule in rules(rendered(FULL)):
            if "" in rule["apiGroups"]:
                assert not {"pods/exec", "pods/attach", "pods/ephemeralcontainers", "nodes"} & set(rule["resources"]), name
                if "pods" in rule["resources"]:
                    assert not {"create", "delete", "update"} & set(rule["verbs"]), name

    def test_what_a_pod_waits_for_by_its_lease_it_may_hold(self, objects: list[Json]) -> None:
        for component in ("controller", "autoscaler", "eventing"):
            found = [one for one in of(objects, "Deployment") if one["metadata"]["name"] == f"kfn-{component}"]
            for one in found:
                (lease,) = (arg for arg in one["spec"]["template"]["spec"]["containers"][0]["args"] if arg.startswith("--lease="))
                assert lease == f"--lease={NAMESPACE}/kfn-{component}"
                for verb in ("get", "update"):
                    held = [names for group, res, v, names in role_of(objects, component) if (res, v) == ("leases", verb)]
                    assert any(f"kfn-{component}" in names for names in held)

    def test_builds_need_what_their_own_role_says(self) -> None:
        granted = {(group, resource, verb) for group, resource, verb, _ in role_of(rendered(), "controller")}
        needed = {
            (group, resource, verb)
            for rule in access.role()["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        assert needed <= granted
        without = {(group, resource) for group, resource, _, _ in role_of(rendered({"builds": {"enabled": False}}), "controller")}
        assert not {("kfn.dev", "builds"), ("batch", "jobs")} & without

    @pytest.mark.parametrize(
        ("value", "role"),
        [
            ("bindings", "kfn-eventing-bindings"),
            ("containerSources", "kfn-eventing-containers"),
            ("apiServerSources", "kfn-eventing-apiservers"),
            ("jobSinks", "kfn-eventing-jobs"),
        ],
    )
    def test_a_right_over_users_workloads_is_there_to_be_given_and_given_only_where_it_is_wanted(self, value: str, role: str) -> None:
        """So it can be given in one namespace by a RoleBinding."""
        for wanted in (False, True):
            objects = rendered({"eventing": {value: {"enabled": wanted}}})
            assert named(objects, "ClusterRole", role)
            bound = [one for one in of(objects, "ClusterRoleBinding") if one["roleRef"]["name"] == role]
            assert len(bound) == wanted
            assert all(one["subjects"][0]["name"] == "kfn-eventing" for one in bound)
        assert not [res for _, res, _, _ in role_of(rendered(), "eventing") if res in ("deployments", "jobs", "pods")]

    def test_the_webhook_for_sink_bindings_is_what_the_controller_would_make(self) -> None:
        objects = rendered({"eventing": {"bindings": {"enabled": True}}})
        made = named(objects, "MutatingWebhookConfiguration", configuration.BINDINGS)["webhooks"][0]
        wanted = configuration.binding(webhook_settings.Settings(namespace=NAMESPACE), b"")["webhooks"][0]
        del wanted["clientConfig"]["caBundle"]
        assert made == {name: value for name, value in wanted.items() if name != "rules"}, "the controller writes the rules"
        assert "--webhook-bindings" in container(objects, "Deployment", "kfn-controller")["args"]
        plain = rendered()
        assert "--webhook-bindings" not in container(plain, "Deployment", "kfn-controller")["args"]
        assert configuration.BINDINGS not in {one["metadata"]["name"] for one in of(plain, "MutatingWebhookConfiguration")}

    def test_what_rbac_cannot_say_is_said_by_policies_that_are_bound(self) -> None:
        objects = rendered()
        policies = {one["metadata"]["name"] for one in of(objects, "ValidatingAdmissionPolicy")}
        assert policies == {one["spec"]["policyName"] for one in of(objects, "ValidatingAdmissionPolicyBinding")}
        for one in of(objects, "ValidatingAdmissionPolicy"):
            (whom,) = one["spec"]["matchConditions"]
            account = whom["expression"].split("'")[1].removeprefix(f"system:serviceaccount:{NAMESPACE}:")
            assert account in {found["metadata"]["name"] for found in of(objects, "ServiceAccount")}

    @pytest.mark.parametrize("role", ["admin", "edit", "view"])
    def test_users_get_kfns_kinds_with_the_clusters_own_roles(self, role: str) -> None:
        one = named(rendered(), "ClusterRole", f"kfn-namespaced-{role}")
        assert one["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{role}"] == "true"
        granted = {(rule["apiGroups"][0], resource) for rule in one["rules"] for resource in rule["resources"]}
        own = {(kind.group, kind.plural) for kind in kinds.ALL if kind.group.endswith(("knative.dev", "kfn.dev"))}
        assert own <= granted
        writes = {verb for rule in one["rules"] for verb in rule["verbs"]} - {"get", "list", "watch"}
        assert bool(writes) is (role != "view")

    def test_who_gathers_roles_of_what_is_addressable_may_read_every_such_kind(self) -> None:
        rules = named(rendered(), "ClusterRole", "kfn-addressable-resolver")["rules"]
        allowed = {(group, resource) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"]}
        addressable = [kind for kind in kinds.ALL if "duck.knative.dev/addressable" in kind.roles]
        assert addressable
        assert {(kind.group, name) for kind in addressable for name in (kind.plural, f"{kind.plural}/status")} == allowed


class TestGateway:
    def test_has_time_for_all_that_its_end_may_take(self) -> None:
        spec = named(rendered({"gateway": {"stopDelaySeconds": 2.5, "drainSeconds": 60}}), "Deployment", "kfn-gateway")["spec"]
        assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 3 + 60 + 10
        assert {"--stop-delay=2.5", "--drain=60"} <= set(spec["template"]["spec"]["containers"][0]["args"])

    def test_is_never_less_than_it_was_while_it_is_replaced(self) -> None:
        for name in ("gateway", "controller", "autoscaler", "eventing"):
            strategy = named(rendered(), "Deployment", f"kfn-{name}")["spec"]["strategy"]
            assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}

    def test_names_of_functions_lead_to_the_port_for_inside(self) -> None:
        objects = rendered()
        assert named(objects, "ConfigMap", "kfn-config")["data"]["gateway-host"] == f"kfn-gateway-internal.{NAMESPACE}.svc.cluster.local"
        inside = named(objects, "Service", "kfn-gateway-internal")["spec"]
        assert (inside["type"], inside["ports"][0]["targetPort"]) == ("ClusterIP", "local")
        assert "local" not in {port["targetPort"] for port in named(objects, "Service", "kfn-gateway")["spec"]["ports"]}

    def test_leaves_its_number_to_the_autoscaler_that_is_on(self) -> None:
        objects = rendered({"gateway": {"autoscaling": {"enabled": True}}})
        assert "replicas" not in named(objects, "Deployment", "kfn-gateway")["spec"]
        scaler = named(objects, "HorizontalPodAutoscaler", "kfn-gateway")["spec"]
        (metric,) = scaler["metrics"]
        assert metric["containerResource"]["container"] == container(objects, "Deployment", "kfn-gateway")["name"]

    def test_takes_certificates_from_files_and_may_not_read_secrets(self) -> None:
        objects = rendered({"gateway": {"tls": {"secretName": "front", "redirect": True}}})
        args = container(objects, "Deployment", "kfn-gateway")["args"]
        assert {"--tls-port=8443", "--tls-cert=/etc/kfn/tls/front", "--tls-redirect=443"} <= set(args)
        assert not [rule for name, rule in rules(objects) if name.startswith("kfn-gateway") and "secrets" in rule["resources"]]


class TestWhoServesInTheCluster:
    @pytest.mark.parametrize("part", ["controller", "eventing"])
    def test_serves_on_while_it_leaves_its_service(self, part: str) -> None:
        spec = named(rendered({part: {"stopDelaySeconds": 7}}), "Deployment", f"kfn-{part}")["spec"]["template"]["spec"]
        assert spec["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": 7}}
        assert spec["terminationGracePeriodSeconds"] >= 7 + 25 + 2, "the process' own end takes up to 25 s (--grace), and 2 more"

    def test_listens_where_ipv6_comes_too_if_that_is_wanted(self) -> None:
        objects = rendered({"listen": "::"})
        for part in ("gateway", "controller", "autoscaler", "eventing"):
            hosts = {arg.partition("=")[2] for arg in container(objects, "Deployment", f"kfn-{part}")["args"] if "host=" in arg}
            assert hosts == {"::"}, part
        assert 'listen: "[::]:4222"' in named(objects, "ConfigMap", "kfn-nats")["data"]["nats.conf"]


class TestNats:
    def test_one_server_and_three_are_told_apart(self) -> None:
        def conf(replicas: int) -> str:
            return str(named(rendered({"nats": {"replicas": replicas}}), "ConfigMap", "kfn-nats")["data"]["nats.conf"])

        assert "cluster {" not in conf(1)
        assert "routes: $KFN_NATS_ROUTES" in conf(3)
        assert "sync_interval: always" in conf(1)
        three = rendered({"nats": {"replicas": 3}})
        (routes,) = (one["value"] for one in container(three, "StatefulSet", "kfn-nats")["env"] if one["name"] == "KFN_NATS_ROUTES")
        assert re.findall(r"@(kfn-nats-\d)\.kfn-nats-headless", routes) == ["kfn-nats-0", "kfn-nats-1", "kfn-nats-2"]
        assert "--nats-replicas=3" in container(three, "Deployment", "kfn-eventing")["args"]

    def test_one_server_has_accounts_and_tls_and_others_only_where_that_is_said(self) -> None:
        def has(objects: list[Json]) -> tuple[bool, bool, bool, bool]:
            conf = str(named(objects, "ConfigMap", "kfn-nats")["data"]["nats.conf"])
            args = container(objects, "Deployment", "kfn-eventing")["args"]
            pod = named(objects, "StatefulSet", "kfn-nats")["spec"]["template"]["spec"]
            url = next(arg for arg in args if arg.startswith("--nats="))
            return (
                "tls {" in conf,
                "initContainers" in pod,
                "--nats-keys-file=/etc/kfn/nats/secret" in args,
                url.startswith("--nats=tls://"),
            )

        assert has(rendered({})) == has(rendered({"nats": {"replicas": 3, "accounts": "on"}})) == (True,) * 4
        for values in ({"accounts": "off"}, {"replicas": 3}, {"auth": {"existingSecret": "own-nats"}}):
            assert has(rendered({"nats": values})) == (False,) * 4, values

    def test_its_own_secret_stays_with_what_prepares_it(self) -> None:
        pod = named(rendered({}), "StatefulSet", "kfn-nats")["spec"]["template"]["spec"]
        (server,), (prepare,) = pod["containers"], pod["initContainers"]
        assert "secret" in {one["name"] for one in prepare["volumeMounts"]}
        assert "secret" not in {one["name"] for one in server["volumeMounts"]}
        assert [one["name"] for one in server["env"]] == ["POD_NAME"], "and no password"
        assert "--name=kfn-nats.kfn-system.svc.cluster.local" in prepare["args"]

    def test_no_port_tells_of_it_unless_that_is_wanted(self) -> None:
        def ports(**values: Any) -> tuple[set[int], set[str], bool]:
            objects = rendered({"nats": values})
            server = container(objects, "StatefulSet", "kfn-nats")
            probes = {next(iter(server[f"{kind}Probe"].keys() & {"httpGet", "tcpSocket"})) for kind in ("startup", "readiness", "liveness")}
            conf = named(objects, "ConfigMap", "kfn-nats")["data"]["nats.conf"]
            return {one["containerPort"] for one in server["ports"]}, probes, "http:" in conf

        assert ports() == ({4222}, {"tcpSocket"}, False)
        assert ports(monitoring={"enabled": True}) == ({4222, 8222}, {"httpGet"}, True)

    def test_credentials_of_functions_take_a_right_of_their_own(self) -> None:
        before, after = rendered({}), rendered({"nats": {"functions": {"enabled": True}}})
        assert named(after, "ClusterRole", "kfn-eventing-nats-credentials")["rules"] == [
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["kfn-nats"], "verbs": ["get", "patch", "delete"]},
        ]
        assert "kfn-eventing-nats-credentials" not in {one["metadata"]["name"] for one in of(before, "ClusterRole")}

    def test_a_server_of_ones_own_is_verified(self) -> None:
        nats = {"enabled": False, "url": "tls://nats.messaging:4222", "tlsSecret": "authority", "auth": {"existingSecret": "own-nats"}}
        objects = rendered({"nats": nats})
        assert "--nats-ca=/etc/kfn/nats-tls/ca.crt" in container(objects, "Deployment", "kfn-eventing")["args"]
        volumes = named(objects, "Deployment", "kfn-eventing")["spec"]["template"]["spec"]["volumes"]
        assert {"name": "nats-tls", "secret": {"secretName": "authority", "defaultMode": 0o440}} in volumes

    def test_a_change_of_its_configuration_replaces_it(self) -> None:
        def checksum(**values: Any) -> str:
            template = named(rendered({"nats": values}), "StatefulSet", "kfn-nats")["spec"]["template"]
            return str(template["metadata"]["annotations"]["kfn.dev/config-checksum"])

        assert checksum() == checksum(replicas=1)
        assert checksum() != checksum(maxPayload=1 << 20)

    def test_a_server_of_ones_own_takes_its_place(self) -> None:
        objects = rendered(EXTERNAL)
        assert not of(objects, "StatefulSet")
        args = container(objects, "Deployment", "kfn-eventing")["args"]
        assert {"--nats=nats://nats.messaging:4222", "--nats-replicas=3"} <= set(args)


class TestConfig:
    @pytest.mark.parametrize(("name", "options"), [("controller", controller.SERVING), ("autoscaler", autoscaler.SCALING)])
    def test_every_setting_of_a_process_comes_from_the_configmap(self, name: str, options: Json) -> None:
        env = {one["name"]: one.get("valueFrom", {}) for one in container(rendered(), "Deployment", f"kfn-{name}")["env"]}
        for option in options:
            variable = f"KFN_{option.upper()}"
            assert env[variable]["configMapKeyRef"]["key"] == option.replace("_", "-"), variable

    @pytest.mark.parametrize(
        ("name", "options", "defaults"),
        [("controller", controller.SERVING, controller.DEFAULTS), ("autoscaler", autoscaler.SCALING, autoscaler.DEFAULTS)],
    )
    def test_the_charts_defaults_are_the_processs_own(self, name: str, options: Json, defaults: Json) -> None:
        data = named(rendered(), "ConfigMap", "kfn-config")["data"]
        for option in options:
            wanted = defaults[option]
            said = yaml.safe_load(data[option.replace("_", "-")])
            assert said == wanted, option

    def test_a_change_replaces_who_reads_it(self) -> None:
        def checksums(values: Json) -> dict[str, str]:
            found = {}
            for one in of(rendered(values), "Deployment"):
                found[one["metadata"]["name"]] = one["spec"]["template"]["metadata"]["annotations"].get("kfn.dev/config-checksum", "")
            return found

        before, after = checksums({}), checksums({"config": {"stableWindow": 30}})
        assert {name for name in before if before[name] != after[name]} == {"kfn-autoscaler", "kfn-controller"}


class TestSecrets:
    def test_are_new_and_long_where_nothing_is_there_yet(self) -> None:
        binary()
        runs = [helm("template", "kfn", str(CHART), "--set", "image.registry=r/x", "-s", "templates/tokens.yaml").stdout for _ in range(2)]
        first, second = (yaml.safe_load(text)["data"] for text in runs)
        assert set(first) == {"autoscaler", "slots", "events"}
        assert not set(first.values()) & set(second.values())
        assert all(len(base64.b64decode(value)) >= 40 for value in first.values())

    def test_of_ones_own_are_not_made(self) -> None:
        assert [one["metadata"]["name"] for one in of(rendered(EXTERNAL), "Secret")] == ["kfn-webhook-certs"]

    def test_what_the_controller_writes_is_left_to_it(self) -> None:
        """With `data` here, an upgrade would take the certificates away, or the authority that the API server trusts."""
        objects = rendered()
        assert "data" not in named(objects, "Secret", "kfn-webhook-certs")
        for one in of(objects, "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
            assert all("caBundle" not in webhook["clientConfig"] for webhook in one["webhooks"])


class TestDefinitions:
    def test_all_of_kfns_kinds_are_there_and_stay_when_the_release_goes(self) -> None:
        found = of(rendered(), "CustomResourceDefinition")
        names = {(one["spec"]["group"], one["spec"]["names"]["plural"]) for one in found}
        assert names == {(kind.group, kind.plural) for kind in kinds.ALL if kind.group.endswith(("knative.dev", "kfn.dev"))}
        assert all(one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for one in found)

    def test_the_webhook_is_asked_about_each_of_them_and_about_nothing_else(self) -> None:
        """All other kinds can be written while it is away."""
        wanted = {(kind.group, kind.version, kind.plural) for kind in kinds.ALL if kind.group.endswith(("knative.dev", "kfn.dev"))}
        for one in of(rendered(), "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
            (hook,) = one["webhooks"]
            asked = {(rule["apiGroups"][0], rule["apiVersions"][0], rule["resources"][0]) for rule in hook["rules"]}
            assert asked == wanted
            assert {json.dumps(rule["operations"]) for rule in hook["rules"]} == {'["CREATE", "UPDATE"]'}


class TestValues:
    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({}, "image.registry: say where the image"),
            ({"image": {"registry": "https://r.example"}}, "/image/registry"),
            ({"image": {"registry": "r.example", "digest": "sha256:abc"}}, "/image/digest"),
            ({"gatway": {}}, "'gatway' not allowed"),
            ({"gateway": {"replica": 2}}, "'replica' not allowed"),
            ({"gateway": {"service": {"type": "Ingress"}}}, "'LoadBalancer', 'NodePort', 'ClusterIP'"),
            ({"gateway": {"resources": {"limits": {"cpu": 1}}}}, "'cpu' not allowed"),
            ({"nats": {"replicas": 2}}, "value must be one of 1, 3"),
            ({"nats": {"jetstream": {"maxFileStore": "8G"}}}, "/nats/jetstream/maxFileStore"),
            ({"config": {"securePodDefaults": True}}, "'Disabled', 'AllowRootBounded', 'Enabled'"),
            ({"nats": {"enabled": False}}, "nats.url: with nats.enabled=false"),
            ({"nats": {"url": "nats://x:1"}}, "set nats.enabled=false too"),
            ({"nats": {"accounts": "maybe"}}, "/nats/accounts"),
            ({"nats": {"accounts": "off", "functions": {"enabled": True}}}, "set nats.accounts=on"),
            ({"gateway": {"tls": {"redirect": True}}}, "there is no HTTPS"),
            ({"gateway": {"tls": {"extraSecretNames": ["a"]}}}, "gateway.tls.secretName too"),
            ({"gateway": {"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 2}}}, "5 is more than maxReplicas, 2"),
            ({"httpRoute": {"enabled": True}}, "name the Gateway"),
        ],
        ids=str,
    )  # fmt: skip
    def test_that_cannot_be_meant_are_refused_with_their_name(self, values: Json, said: str) -> None:
        registry = {} if "say where the image" in said else {"registry": "r.example/x"}
        assert said in refused({**values, "image": {**registry, **values.get("image", {})}})

    def test_the_schema_knows_each_of_them(self) -> None:
        schema = json.loads((CHART / "values.schema.json").read_text())
        assert not list(_unknown(yaml.safe_load((CHART / "values.yaml").read_text()), schema, schema, ""))

    def test_the_charts_versions_are_kfns(self) -> None:
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)

    def test_helm_finds_nothing_to_complain_of(self) -> None:
        run = helm("lint", "--strict", str(CHART), "--set", "image.registry=r.example/x")
        assert run.returncode == 0, run.stdout
        assert "[WARNING]" not in run.stdout

    def test_what_the_chart_holds_of_others_and_its_table_of_values_are_up_to_date(self) -> None:
        for path, content in chartfiles.files().items():
            assert path.read_bytes() == content, f"{path.relative_to(ROOT)}: run `make chart`"

    def test_every_one_is_explained(self) -> None:
        rows = [line.split(" | ") for line in chartfiles.table((CHART / "values.yaml").read_text()).splitlines() if line.startswith("| `")]
        assert len(rows) > 100
        assert not [row[0] for row in rows if not row[2].removesuffix("|").strip()]


def _unknown(values: Any, schema: Json, whole: Json, path: str) -> Iterator[str]:
    """Values that the schema says nothing of, and objects to which anything may be added without a word."""
    while "$ref" in schema:
        schema = whole["definitions"][schema["$ref"].rpartition("/")[2]]
    if not isinstance(values, dict) or "properties" not in schema:
        return
    if schema.get("additionalProperties") is not False:
        yield f"{path}: anything may be added"
    for name, value in values.items():
        if name not in schema["properties"]:
            yield f"{path}/{name}"
        else:
            yield from _unknown(value, schema["properties"][name], whole, f"{path}/{name}")
