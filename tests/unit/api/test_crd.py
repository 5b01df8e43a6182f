"""The CRDs in the chart are what the types say, and what they enforce by themselves never refuses what admission lets through."""

import json
from pathlib import Path
from typing import Any

import pytest

from kfn.api import crd, kinds, limits
from kfn.api.base import Json
from kfn.api.described import _FIELDS
from kfn.api.unknown import fields_of

FOLDER = Path(__file__).resolve().parents[3] / "deploy/chart/kfn/files/crds"


def root(kind: kinds.Kind[Any]) -> Json:
    schema: Json = crd.crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def spec(kind: kinds.Kind[Any], *steps: str) -> Json:
    found: Json = root(kind)["properties"]["spec"]
    for step in steps:
        found = found["items"] if step == "[]" else found["properties"][step]
    return found


class TestTheFiles:
    def test_they_are_what_the_code_generates(self) -> None:
        there = {path.name: path.read_text() for path in FOLDER.glob("*.yaml")}
        made = crd.files()
        assert sorted(there) == sorted(made)
        changed = [name for name in made if there[name] != made[name]]
        assert not changed, f"{', '.join(changed)}: run make crds"

    def test_each_fits_beside_kubectls_note_of_it(self) -> None:
        """`kubectl apply` without --server-side notes the whole object in an annotation, and all annotations have 256 KiB together."""
        for kind in crd.own():
            assert len(json.dumps(crd.crd(kind))) < 200_000, kind.qualified

    def test_one_is_written_for_each_kind_of_its_own_and_a_stale_one_goes(self, tmp_path: Path) -> None:
        (tmp_path / "old.yaml").write_text("")
        written = crd.write(tmp_path)
        assert written == sorted(tmp_path.iterdir())
        assert len(written) == len(crd.own()) >= 8


class TestNames:
    def test_kubectl_and_kn_find_the_kinds_by_knatives_names(self) -> None:
        names = {kind.kind: crd.crd(kind)["spec"]["names"] for kind in crd.own()}
        assert names["Service"]["shortNames"] == ["kservice", "ksvc"]
        assert names["Configuration"]["shortNames"] == ["config", "cfg"]
        assert names["Revision"]["shortNames"] == ["rev"]
        assert names["Route"]["shortNames"] == ["rt"]
        assert names["Service"]["categories"] == ["all", "knative", "serving"]
        assert names["Broker"]["categories"] == ["all", "knative", "eventing"]

    def test_sources_and_addressables_are_labelled(self) -> None:
        labels = {kind.kind: crd.crd(kind)["metadata"]["labels"] for kind in crd.own()}
        assert labels["PingSource"]["duck.knative.dev/source"] == "true"
        assert labels["Service"]["duck.knative.dev/addressable"] == labels["Service"]["duck.knative.dev/podspecable"] == "true"
        assert all(each["knative.dev/crd-install"] == "true" and each["app.kubernetes.io/part-of"] == "kfn" for each in labels.values())


class TestTheSchema:
    def test_what_gpu_work_needs_is_there_with_its_types(self) -> None:
        pod = spec(kinds.SERVICE, "template", "spec")["properties"]
        assert pod["tolerations"]["items"]["properties"]["tolerationSeconds"]["type"] == "integer"
        assert pod["affinity"]["properties"]["nodeAffinity"]["properties"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert {"nodeSelector", "runtimeClassName", "resourceClaims", "priorityClassName", "topologySpreadConstraints"} <= set(pod)

    def test_only_what_has_no_fixed_type_is_kept_as_it_comes(self) -> None:
        """Fields that are not known are pruned, and kubectl names them: so a mistyped one is not accepted in silence."""
        found: list[str] = []

        def walk(schema: Json, at: str) -> None:
            if schema.get("x-kubernetes-preserve-unknown-fields") and "nullable" not in schema:
                found.append(at)
            for name, child in schema.get("properties", {}).items():
                if at or name == "spec":
                    walk(child, f"{at}.{name}")
            for name in ("items", "additionalProperties"):
                if isinstance(schema.get(name), dict):
                    walk(schema[name], at)

        walk(root(kinds.REVISION), "")
        last = {path.rsplit(".", 1)[1] for path in found}
        refused = {"lifecycle", "volumeDevices", "resizePolicy", "windowsOptions", "hostPath", "nfs", "iscsi", "fc", "gitRepo"}
        quantities = {"limits", "requests", "divisor", "sizeLimit"}
        assert last - refused - quantities == {"volumeClaimTemplate", "podCertificate"}

    def test_containers_stay_one_list_as_in_knative_because_they_need_no_name(self) -> None:
        assert "x-kubernetes-list-type" not in spec(kinds.SERVICE, "template", "spec", "containers")

    def test_lists_with_a_key_can_be_applied_by_two(self) -> None:
        pod = spec(kinds.SERVICE, "template", "spec")["properties"]
        for name, key in (("volumes", "name"), ("imagePullSecrets", "name"), ("resourceClaims", "name"), ("hostAliases", "ip")):
            assert pod[name]["x-kubernetes-list-map-keys"] == [key]
            assert pod[name]["items"]["required"] == [key], "a key has to be there"
        conditions = root(kinds.SERVICE)["properties"]["status"]["properties"]["conditions"]
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]

    def test_a_go_clients_empty_time_in_a_template_is_taken(self) -> None:
        assert spec(kinds.SERVICE, "template", "metadata", "creationTimestamp") == {"type": "string", "nullable": True}

    def test_bounds_are_those_of_validation(self) -> None:
        pod = spec(kinds.REVISION)["properties"]
        assert pod["containerConcurrency"]["maximum"] == limits.CONCURRENCY_MAX
        assert pod["timeoutSeconds"]["maximum"] == limits.TIMEOUT_MAX_SECONDS
        assert spec(kinds.REVISION, "containers", "[]", "ports")["maxItems"] == 1
        assert spec(kinds.REVISION, "containers", "[]", "securityContext", "runAsUser")["minimum"] == 0
        assert spec(kinds.REVISION, "containers", "[]", "ports", "[]", "name")["enum"] == list(limits.PORT_NAMES)

    def test_a_status_has_no_rules_that_could_stop_a_controller(self) -> None:
        for kind in crd.own():
            assert "x-kubernetes-validations" not in json.dumps(root(kind)["properties"]["status"]), kind.qualified


class TestDescriptions:
    def test_every_field_that_is_described_exists(self) -> None:
        for type_, fields in _FIELDS.items():
            assert set(fields) <= set(fields_of(type_)), type_

    @pytest.mark.parametrize("kind", crd.own(), ids=lambda kind: kind.kind)
    def test_every_kind_and_every_field_of_its_spec_says_what_it_is(self, kind: kinds.Kind[Any]) -> None:
        assert root(kind)["description"]
        refused = {
            "hostNetwork",
            "hostPID",
            "hostIPC",
            "nodeName",
            "hostname",
            "subdomain",
            "restartPolicy",
            "terminationGracePeriodSeconds",
        }
        silent = [name for name, field in spec(kind)["properties"].items() if not field.get("description") and name not in refused]
        assert not silent
