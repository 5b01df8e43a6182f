"""The manifests that come with kfn, made into those of one installation; and that they are what the chart says."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.installing import customise, files, helm
from cli.installing.cluster import conflict_words
from cli.installing.customise import FILES, Wanted
from kfn.version import VERSION

WANTED = Wanted(namespace="apps", domain="fn.test", registry="registry.test:5000/kfn/", tag="1.2")


@pytest.fixture(scope="module")
def plain() -> list[dict[str, Any]]:
    return files.manifests(FILES[1])


def made(plain: list[dict[str, Any]], wanted: Wanted = WANTED) -> dict[str, dict[str, Any]]:
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in customise.objects(plain, wanted)}


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in texts(one)]
    return [text for one in value for text in texts(one)] if isinstance(value, list) else [str(value)]


class TestTheObjectsOfAnInstallation:
    def test_name_the_namespace_and_the_domain_wherever_they_are_named(self, plain: list[dict[str, Any]]) -> None:
        found = made(plain)
        assert not [
            text for text in texts(list(found.values())) if "kfn-system" in text or "example.com" in text or "registry.example" in text
        ]
        assert found["ConfigMap/kfn-config"]["data"]["domain"] == "fn.test"
        assert {one["metadata"].get("namespace", "apps") for one in found.values()} == {"apps"}

    def test_have_the_images_of_the_registry_under_this_kfns_tag(self, plain: list[dict[str, Any]]) -> None:
        found = made(plain)
        (container,) = found["Deployment/kfn-gateway"]["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "registry.test:5000/kfn/kfn:1.2"
        assert "--build-image=registry.test:5000/kfn/kfn-builder:1.2" in texts(found["Deployment/kfn-controller"])

    def test_have_an_image_by_its_digest_where_it_is_named(self, plain: list[dict[str, Any]]) -> None:
        reference = "other.test/x/kfn-nats@sha256:" + "a" * 64
        found = made(plain, Wanted(registry="r.test", tag="1", images={"kfn-nats": reference}))
        assert reference in texts(found["StatefulSet/kfn-nats"])
        assert "r.test/kfn:1" in texts(found["Deployment/kfn-gateway"])

    def test_pull_with_the_secrets_that_are_named_in_every_pod(self, plain: list[dict[str, Any]]) -> None:
        found = made(plain, Wanted(registry="r.test", pull_secrets=("login",)))
        specs = [one["spec"]["template"]["spec"] for key, one in found.items() if key.startswith(("Deployment", "StatefulSet"))]
        assert len(specs) == 5
        assert all(spec["imagePullSecrets"] == [{"name": "login"}] for spec in specs)

    @pytest.mark.parametrize("kind", customise.SERVICE_TYPES)
    def test_have_the_gateways_service_of_the_wanted_type(self, plain: list[dict[str, Any]], kind: str) -> None:
        spec = made(plain, Wanted(registry="r.test", service=kind))["Service/kfn-gateway"]["spec"]
        assert spec["type"] == kind
        assert ("externalTrafficPolicy" in spec) == (kind != "ClusterIP")

    def test_have_pods_that_change_when_their_settings_do(self, plain: list[dict[str, Any]]) -> None:
        def sums(domain: str) -> set[str]:
            found = made(plain, Wanted(registry="r.test", domain=domain))
            pods = [
                one["spec"]["template"]["metadata"].get("annotations", {}) for one in found.values() if "template" in one.get("spec", {})
            ]
            return {one[customise.CHECKSUM] for one in pods if customise.CHECKSUM in one}

        assert sums("a.test") != sums("b.test")
        assert sums("a.test") == sums("a.test")

    def test_come_in_an_order_in_which_each_finds_what_it_needs(self, plain: list[dict[str, Any]]) -> None:
        kinds = [one["kind"] for one in customise.objects(plain, WANTED)]
        assert kinds.index("ServiceAccount") < kinds.index("ClusterRoleBinding") < kinds.index("Deployment")
        assert kinds.index("Deployment") < kinds.index("ValidatingWebhookConfiguration")

    def test_are_the_same_each_time_and_leave_the_manifests_as_they_are(self, plain: list[dict[str, Any]]) -> None:
        before = json.dumps(plain)
        assert customise.objects(plain, WANTED) == customise.objects(plain, WANTED)
        assert json.dumps(plain) == before

    def test_hold_no_secret(self, plain: list[dict[str, Any]]) -> None:
        assert not [one for one in plain if one["kind"] == "Secret" and (one.get("data") or one.get("stringData"))]


BEFORE = {
    "domain": "a.test", "registry": "r.test/kfn", "service": "NodePort", "tag": "1", "pull_secrets": ["login"],
    "images": {"kfn": "r.test/kfn/kfn@x"},
}  # fmt: skip


class TestASecondInstallation:
    def test_keeps_what_is_not_said_again(self) -> None:
        found = customise.as_before(Wanted(tag="1", domain="b.test"), ("domain",), BEFORE)
        assert (found.domain, found.registry, found.service, found.pull_secrets) == ("b.test", "r.test/kfn", "NodePort", ("login",))
        assert found.images == {"kfn": "r.test/kfn/kfn@x"}

    def test_of_a_newer_kfn_takes_its_own_images_of_the_same_registry(self) -> None:
        found = customise.as_before(Wanted(tag="2"), (), BEFORE)
        assert (found.images, customise.image("kfn", found)) == ({}, "r.test/kfn/kfn:2")

    def test_with_another_registry_forgets_the_images_of_before(self) -> None:
        found = customise.as_before(Wanted(tag="1", registry="new.test"), ("registry",), BEFORE)
        assert customise.image("kfn", found) == "new.test/kfn:1"

    @pytest.mark.parametrize(
        ("reference", "registry"),
        [("r.test:5000/a/kfn@sha256:1", "r.test:5000/a"), ("r.test/kfn:1", "r.test"), ("r.test/other@sha256:1", ""), ("", "")],
    )
    def test_finds_the_registry_in_the_name_of_an_image(self, reference: str, registry: str) -> None:
        assert customise.registry_of({"kfn": reference}) == registry


class TestHelmsCommandLine:
    TARGET = helm.Target("apps", "/k/config", "there")

    def test_names_release_chart_cluster_and_keeps_values(self) -> None:
        assert helm.upgrade(Path("/chart"), self.TARGET) == [
            "upgrade", "--install", "kfn", "/chart", "--namespace", "apps", "--kubeconfig", "/k/config", "--kube-context", "there",
            "--reset-then-reuse-values",
        ]  # fmt: skip

    def test_of_a_dry_run_shows_no_secret(self) -> None:
        assert "--hide-secret" in helm.upgrade(Path("/chart"), self.TARGET, dry_run=True)

    def test_has_only_the_values_that_were_said(self) -> None:
        assert helm.values(Wanted(), (), 0) == {}
        wanted = Wanted(domain="a,b.test", registry="r.test/kfn/", service="NodePort", pull_secrets=("x",))
        assert helm.values(wanted, ("domain", "registry", "service", "pull_secrets"), 3) == {
            "domain": "a,b.test",
            "image": {"registry": "r.test/kfn", "pullSecrets": ["x"]},
            "gateway": {"service": {"type": "NodePort"}},
            "nats": {"replicas": 3},
        }

    def test_has_each_image_where_the_chart_looks_for_it(self) -> None:
        found = helm.values(Wanted(images={"kfn": "r.test:5000/a/kfn@sha256:1", "kfn-builder": "b.test/own:2"}), (), 0)
        assert found["image"] == {"registry": "r.test:5000/a", "repository": "kfn", "digest": "sha256:1", "tag": ""}
        assert found["builds"]["image"] == {"registry": "b.test", "repository": "own", "digest": "", "tag": "2"}

    def test_of_an_upgrade_forgets_the_older_kfns_digests(self) -> None:
        assert helm.values(Wanted(), (), 0, older=True)["nats"]["image"] == {"digest": "", "tag": ""}


class TestTheFilesThatComeWithKfn:
    def test_are_those_of_this_version(self) -> None:
        assert yaml.safe_load((files.chart() / "Chart.yaml").read_text())["appVersion"] == VERSION

    def test_have_all_the_kinds(self) -> None:
        names = {one["metadata"]["name"] for one in customise.definitions(files.definitions(), VERSION)}
        assert {"services.serving.knative.dev", "brokers.eventing.knative.dev", "builds.kfn.dev"} <= names

    @pytest.mark.parametrize("replicas", FILES)
    def test_are_what_the_chart_becomes(self, replicas: int) -> None:
        from deploy.render import rendered

        if not helm.program():
            pytest.skip("helm is not on PATH, and it renders the chart")
        there = (files.folder() / "manifests" / FILES[replicas]).read_text()
        assert rendered(helm.program(), replicas) == there, "the chart changed: make manifests"


def test_a_conflict_names_the_field_who_holds_it_and_what_to_do() -> None:
    thing = {"kind": "Deployment", "metadata": {"name": "kfn-gateway", "namespace": "apps"}}
    cause = {"field": ".spec.replicas", "message": 'conflict with "kubectl-edit" using apps/v1'}
    said = conflict_words(thing, {"details": {"causes": [cause]}})
    assert said.startswith(
        'Deployment apps/kfn-gateway: somebody else set what an installation sets too: .spec.replicas (conflict with "kubectl-edit"'
    )
    assert "--force-conflicts" in said
