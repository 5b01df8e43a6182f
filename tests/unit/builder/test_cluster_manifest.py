"""The Job of a build: the restricted Pod Security Standard, rule by rule, and what the pod may read, reach and keep."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.cluster import access, manifest, wire
from builder.cluster.settings import Settings
from kfn.api.base import Json, decode, encode
from kfn.api.build import Build

ROOT = Path(__file__).resolve().parents[3]
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def build(**spec: Any) -> Build:
    return decode(
        Build,
        {
            "metadata": {"name": "hello-1", "namespace": "team", "uid": "u1"},
            "spec": {
                "source": {"artifact": "registry.example/hello@sha256:" + "a" * 64},
                "image": {"repository": "registry.example/hello", "tags": ["1"]},
                "timeoutSeconds": 600,
                **spec,
            },
        },
    )


def pod(**spec: Any) -> Json:
    job: Json = encode(manifest.job(build(**spec), 1, Settings()))
    template: Json = job["spec"]["template"]["spec"]
    return template


def restricted(spec: Json) -> list[str]:
    """What is against the Baseline and Restricted profiles, as the Pod Security Standards list their controls."""
    wrong = [f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    of_pod = spec.get("securityContext") or {}
    if of_pod.get("sysctls"):
        wrong.append("sysctls")
    wrong += [f"volume {volume}" for volume in spec.get("volumes", []) if not set(volume) - {"name"} <= VOLUMES]
    for container in (*spec["containers"], *spec.get("initContainers", [])):
        own = container.get("securityContext") or {}
        both = {**of_pod, **own}
        capabilities = own.get("capabilities") or {}
        checks = {
            "privileged": not own.get("privileged"),
            "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
            "procMount": own.get("procMount", "Default") == "Default",
            "windowsOptions": not (both.get("windowsOptions") or {}).get("hostProcess"),
            "seLinuxOptions": not (set(both.get("seLinuxOptions") or {}) & {"user", "role"}),
            "appArmorProfile": (both.get("appArmorProfile") or {"type": "RuntimeDefault"})["type"] in ("RuntimeDefault", "Localhost"),
            "seccompProfile": (both.get("seccompProfile") or {}).get("type") in ("RuntimeDefault", "Localhost"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "runAsNonRoot": both.get("runAsNonRoot") is True,
            "runAsUser": both.get("runAsUser") != 0,
            "drop": capabilities.get("drop") == ["ALL"],
            "add": set(capabilities.get("add") or ()) <= {"NET_BIND_SERVICE"},
        }
        wrong += [name for name, fine in checks.items() if not fine]
    return wrong


class TestTheRestrictedProfile:
    def test_is_kept(self) -> None:
        assert restricted(pod(pushSecret="push", gitSecret="git")) == []

    @pytest.mark.parametrize(
        ("path", "value", "what"),
        [
            (("hostNetwork",), True, "hostNetwork is set"),
            (("volumes",), [{"name": "x", "hostPath": {"path": "/"}}], "volume {'name': 'x', 'hostPath': {'path': '/'}}"),
            (("containers", 0, "securityContext", "allowPrivilegeEscalation"), True, "allowPrivilegeEscalation"),
            (("containers", 0, "securityContext", "capabilities"), {}, "drop"),
            (("containers", 0, "securityContext", "privileged"), True, "privileged"),
            (("containers", 0, "securityContext", "runAsUser"), 0, "runAsUser"),
            (("containers", 0, "securityContext", "runAsNonRoot"), False, "runAsNonRoot"),
            (("containers", 0, "securityContext", "seccompProfile"), {"type": "Unconfined"}, "seccompProfile"),
        ],
        ids=lambda v: ".".join(map(str, v)) if isinstance(v, tuple) else "",
    )
    def test_would_show_a_manifest_that_breaks_it(self, path: tuple[Any, ...], value: Any, what: str) -> None:
        spec = copy.deepcopy(pod())
        at: Any = spec
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        assert restricted(spec) == [what]


class TestThePod:
    def test_has_no_token_no_service_links_and_a_root_that_cannot_be_written(self) -> None:
        spec = pod()
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert "serviceAccountName" not in spec
        assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
        assert spec["securityContext"]["runAsUser"] == 65532

    def test_has_bounded_room_for_its_work(self) -> None:
        spec = pod()
        assert {v["name"]: v["emptyDir"]["sizeLimit"] for v in spec["volumes"]} == {"tmp": "4Gi", "cache": "8Gi"}
        assert set(spec["containers"][0]["resources"]["limits"]) == {"cpu", "memory"}

    def test_gets_secrets_as_files_only_and_only_those_that_the_build_names(self) -> None:
        spec = pod(pushSecret="to", pullSecret="from")
        assert [v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v] == ["to", "from"]
        assert all("valueFrom" not in variable for variable in spec["containers"][0]["env"])
        assert all(m["readOnly"] for m in spec["containers"][0]["volumeMounts"] if m["mountPath"].startswith(manifest.SECRETS))

    def test_takes_the_builds_own_resources_over_the_defaults(self) -> None:
        resources = pod(resources={"limits": {"memory": "8Gi"}, "requests": {"cpu": "1"}})["containers"][0]["resources"]
        assert resources == {"limits": {"cpu": "2", "memory": "8Gi"}, "requests": {"cpu": "1"}}

    def test_asks_for_what_the_build_asks_for(self) -> None:
        env = {v["name"]: v.get("value", "") for v in pod(base="static")["containers"][0]["env"]}
        request = wire.read_request(env[wire.REQUEST])
        assert (request.build, request.namespace, request.spec) == ("hello-1", "team", build(base="static").spec)


class TestTheJob:
    def test_runs_once_has_an_end_and_goes_with_its_build(self) -> None:
        job = encode(manifest.job(build(), 2, Settings(slack=60, job_ttl=3600)))
        spec = job["spec"]
        assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (0, 660, 3600)
        assert (
            job["metadata"]["ownerReferences"][0] | {"uid": "u1", "controller": True, "kind": "Build"}
            == job["metadata"]["ownerReferences"][0]
        )

    def test_has_a_name_that_follows_from_build_and_attempt(self) -> None:
        assert [manifest.job_name(build(), n) for n in (1, 2)] == ["hello-1-1", "hello-1-2"]


class TestWhatIsDeployed:
    @pytest.mark.parametrize("name", sorted(access.documents()))
    def test_is_what_the_code_says(self, name: str) -> None:
        text = (ROOT / "deploy" / "builder" / name).read_text()
        assert list(yaml.safe_load_all(text)) == access.documents()[name], "run `python -m builder.cluster.access`"

    def test_lets_the_controller_read_no_secret_and_make_no_pod(self) -> None:
        rules = [rule for document in (access.role(), access.lease_role()) for rule in document["rules"]]
        assert not any("secrets" in rule["resources"] or "*" in (*rule["resources"], *rule["verbs"], *rule["apiGroups"]) for rule in rules)
        pods = [verb for rule in rules if "pods" in rule["resources"] for verb in rule["verbs"]]
        assert sorted(pods) == ["get", "list", "watch"]

    def test_lets_nothing_in_and_keeps_builds_from_credentials_of_the_cloud(self) -> None:
        spec = access.network_policy(refused=("10.96.0.0/12",))["spec"]
        assert (spec["policyTypes"], spec["ingress"]) == (["Ingress", "Egress"], [])
        blocks = [to["ipBlock"] for rule in spec["egress"] for to in rule["to"] if "ipBlock" in to]
        assert any({"169.254.0.0/16", "10.96.0.0/12"} <= set(block["except"]) for block in blocks)
        assert (
            spec["podSelector"]["matchLabels"].items()
            <= encode(manifest.job(build(), 1, Settings()))["spec"]["template"]["metadata"]["labels"].items()
        )
