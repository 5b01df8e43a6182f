"""Before an installation: what stands against it, and which way it goes."""

from typing import Any

import pytest

from cli.installing import decide
from cli.installing.decide import HELM, PLAIN, Found, Right


class TestTheServersVersion:
    @pytest.mark.parametrize(
        "version",
        [{"major": "1", "minor": "30"}, {"major": "1", "minor": "36+", "gitVersion": "v1.36.2-gke.1"}, {"major": "2", "minor": "0"}],
        ids=["the oldest that will do", "a vendor's with a sign behind it", "a later major"],
    )
    def test_will_do(self, version: dict[str, Any]) -> None:
        assert decide.too_old(version) == ""

    def test_that_is_too_old_is_named_with_what_is_needed(self) -> None:
        said = decide.too_old({"major": "1", "minor": "29", "gitVersion": "v1.29.3"})
        assert said == "this cluster runs Kubernetes v1.29.3, and kfn needs 1.30 or later"

    @pytest.mark.parametrize("version", [{}, {"major": "one", "minor": ""}], ids=["nothing", "no numbers"])
    def test_that_is_none_is_said(self, version: dict[str, Any]) -> None:
        assert "does not say which Kubernetes" in decide.too_old(version)


class TestRights:
    def test_that_lack_nothing_say_nothing(self) -> None:
        assert decide.denied([], "kfn-system") == ""

    def test_that_lack_are_named_with_their_place(self) -> None:
        said = decide.denied([Right("create", "apps", "deployments", True), Right("create", "", "namespaces")], "kfn-system")
        assert said.startswith("you may not create deployments.apps in kfn-system, create namespaces. ")
        assert "cluster-admin" in said


class TestDefinitionsThatAreThere:
    def crd(self, name: str, **labels: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "labels": {key.replace("_", "-"): value for key, value in labels.items()}}}

    def test_of_kfns_own_are_no_strangers(self) -> None:
        own = {"metadata": {"name": "services.serving.knative.dev", "labels": {"app.kubernetes.io/part-of": "kfn"}}}
        assert decide.foreign([own]) == []

    @pytest.mark.parametrize("labels", [None, {"knative.dev/crd-install": "true"}], ids=["without labels", "of Knative"])
    def test_of_others_are(self, labels: dict[str, str] | None) -> None:
        names = decide.foreign([{"metadata": {"name": "services.serving.knative.dev", "labels": labels}}])
        assert names == ["services.serving.knative.dev"]
        assert "Use another cluster, or uninstall the other one first" in decide.foreign_words(names)


class TestWhatIsInstalled:
    def binding(self, manager: str) -> dict[str, Any]:
        labels = {"app.kubernetes.io/managed-by": manager, "app.kubernetes.io/version": "0.1.0"}
        return {"metadata": {"labels": labels}, "subjects": [{"name": "kfn-controller", "namespace": "apps"}]}

    def test_is_nothing_without_the_controllers_rights(self) -> None:
        assert decide.found(None) is None

    @pytest.mark.parametrize(("manager", "way"), [("Helm", HELM), ("kfn", PLAIN)])
    def test_is_known_by_its_labels(self, manager: str, way: str) -> None:
        assert decide.found(self.binding(manager)) == Found("apps", way, "0.1.0")


class TestTheWay:
    @pytest.mark.parametrize(
        ("there", "helm", "plain", "way"),
        [
            (None, True, False, HELM),
            (None, False, False, PLAIN),
            (None, True, True, PLAIN),
            (Found("kfn-system", PLAIN), True, False, PLAIN),
            (Found("kfn-system", PLAIN), False, True, PLAIN),
            (Found("kfn-system", HELM), True, False, HELM),
        ],
        ids=[
            "helm where it is on PATH", "manifests where it is not", "manifests if they are asked for",
            "as it was, though helm came meanwhile", "as it was, asked for again", "the release again",
        ],
    )  # fmt: skip
    def test_is(self, there: Found | None, helm: bool, plain: bool, way: str) -> None:
        assert decide.way(there, "kfn-system", helm=helm, plain=plain, only_helm=[]).way == way

    @pytest.mark.parametrize(
        ("there", "helm", "plain", "only", "why"),
        [
            (Found("apps", HELM), True, False, [], "--namespace apps"),
            (Found("kfn-system", HELM), False, False, [], "helm is not on PATH"),
            (Found("kfn-system", HELM), True, True, [], "leave it out"),
            (Found("kfn-system", PLAIN), True, False, ["--set"], "--set: these are values of the chart.* kfn was installed"),
            (None, False, False, ["--values", "--set"], "--values, --set: .* helm is not on PATH"),
            (None, True, True, ["--set"], "--without-helm"),
        ],
        ids=[
            "another namespace", "a release without helm", "a release that would be left behind", "values where there is no release",
            "values without helm", "values and no helm wanted",
        ],
    )  # fmt: skip
    def test_is_refused_for(self, there: Found | None, helm: bool, plain: bool, only: list[str], why: str) -> None:
        found = decide.way(there, "kfn-system", helm=helm, plain=plain, only_helm=only)
        assert found.way == ""
        with pytest.raises(AssertionError, match=why):
            raise AssertionError(found.refused)
