"""kfn install and kfn uninstall on a real cluster: twice, over an older one, with helm and without, and nothing left."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import installing
from tests.cluster import platform as platforms
from tests.cluster.platform import Platform, a_service
from tests.cluster.shell import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
PATIENCE = 120.0


@pytest.fixture(scope="module")
def bare() -> Iterator[Platform]:
    """A cluster without kfn. Afterwards the session's platform is there again, for the tests that come."""
    if why := platforms.unfit():
        pytest.skip(why)
    found = platforms.existing()
    with installing.alone(found.kubeconfig):
        found.images = installing.images(found)
        _remove(found)
        yield found
        _remove(found)
        installing.install(found, {})


def _remove(platform: Platform) -> None:
    """Also a namespace that somebody made by hand, which kfn leaves."""
    platform.kfn("uninstall", "--crds", "--data", "--yes", check=False, timeout=400)
    platform.kubectl("delete", "namespace", platform.namespace, "--ignore-not-found", timeout=300)


@pytest.fixture
def images(bare: Platform, tmp_path: Path) -> str:
    """As `kfn images -o json` prints it."""
    file = tmp_path / "images.json"
    file.write_text(json.dumps({name: {"image": reference} for name, reference in bare.images.items()}))
    return str(file)


def _objects(platform: Platform, *, kinds: str) -> set[str]:
    listed = platform.kubectl("get", kinds, "-A", "-l", "app.kubernetes.io/part-of=kfn", "-o", "json", timeout=60)
    return {f"{one['kind']} {one['metadata']['name']}" for one in json.loads(listed)["items"]}


def _everything(platform: Platform) -> set[str]:
    """What an installation may leave, of any kind that it makes."""
    kinds = (
        "deployments,statefulsets,services,configmaps,secrets,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,networkpolicies,"
        "poddisruptionbudgets,mutatingwebhookconfigurations,validatingwebhookconfigurations,customresourcedefinitions,"
        "validatingadmissionpolicies,validatingadmissionpolicybindings,pods"
    )
    return _objects(platform, kinds=kinds)


def _secrets(platform: Platform) -> dict[str, Any]:
    return {name: platform.get("secret", name, platform.namespace)["data"] for name in ("kfn-tokens", "kfn-nats")}


def _answers(platform: Platform, name: str, text: str) -> None:
    platform.__dict__.pop("gateway", None)
    url = platform.ready(name)["status"]["url"]
    wait_for(f"{url} answers {text}", lambda: platform.request(url).text == text, PATIENCE)


class TestWithoutHelm:
    def test_is_installed_twice_upgraded_taken_away_and_put_back(self, bare: Platform, images: str) -> None:
        install = ("install", "--without-helm", "--timeout", "400")
        first = bare.kfn(*install, "--images", images, "--domain", "one.test", "--service-type", "NodePort", timeout=500)
        assert first.stdout.startswith("functions answer at http://")
        bare.apply(a_service("stays", bare.hello("here")))
        _answers(bare, "stays", "here")
        before = _secrets(bare)

        again = bare.kfn(*install, "--domain", "two.test", timeout=500)
        assert "an upgrade, without helm" in again.stderr
        assert _secrets(bare) == before, "gateways of before and after have to know each other"
        wait_for("the new domain", lambda: bare.url("stays") == "http://stays.default.two.test", PATIENCE)
        _answers(bare, "stays", "here")

        bare.kfn("uninstall", "--yes", timeout=500)
        assert _everything(bare) == {one for one in _everything(bare) if one.startswith("CustomResourceDefinition")}
        assert bare.get("ksvc", "stays")["metadata"]["name"] == "stays", "what users made is theirs"

        bare.kfn(*install, "--images", images, "--service-type", "NodePort", timeout=500)
        _answers(bare, "stays", "here")
        gone = bare.kfn("uninstall", "--crds", "--data", "--yes", timeout=500)
        assert gone.returncode == 0
        assert _everything(bare) == set()
        wait_for("the namespace is gone", lambda: not bare.kubectl("get", "namespace", bare.namespace, "--ignore-not-found"), PATIENCE)

    def test_what_somebody_else_set_is_named_and_taken_back_only_when_asked(self, bare: Platform, images: str) -> None:
        install = ("install", "--without-helm", "--timeout", "400", "--images", images, "--service-type", "NodePort", "--no-wait")
        bare.kfn(*install, timeout=500)
        bare.kubectl("-n", bare.namespace, "scale", "deployment/kfn-gateway", "--replicas=1")
        refused = bare.kfn(*install, check=False)
        assert refused.returncode == 1
        assert "Deployment kfn-system/kfn-gateway: somebody else set" in refused.stderr
        assert ".spec.replicas" in refused.stderr
        bare.kfn(*install, "--force-conflicts")
        assert bare.get("deployment", "kfn-gateway", bare.namespace)["spec"]["replicas"] == 2
        refused = bare.kfn("install", "--set", "gateway.replicas=3", check=False)
        assert refused.returncode == 2
        assert "--set: these are values of the chart" in refused.stderr
        _remove(bare)


class TestWithHelm:
    def test_is_installed_twice_and_leaves_nothing(self, bare: Platform, images: str) -> None:
        if not shutil.which(installing.program("helm")):
            pytest.skip("helm is not on PATH: python -m tests.cluster tools helm")
        install = ("install", "--timeout", "400")
        bare.kfn(*install, "--images", images, "--domain", "one.test", "--service-type", "NodePort", timeout=500)
        bare.apply(a_service("there", bare.hello("too")))
        _answers(bare, "there", "too")
        before = _secrets(bare)
        again = bare.kfn(*install, "--set", "gateway.replicas=1", timeout=500)
        assert "an upgrade, with helm" in again.stderr
        assert _secrets(bare) == before
        assert bare.get("deployment", "kfn-gateway", bare.namespace)["spec"]["replicas"] == 1
        assert bare.get("configmap", "kfn-config", bare.namespace)["data"]["domain"] == "one.test", "what is not said again stays"
        told = bare.kfn("uninstall", "--crds", "--data", check=False)
        assert "It removes for good: 1 Configuration, 1 Revision, 1 Route, 1 Service" in told.stderr
        assert told.returncode == 130, "nobody said yes"
        bare.kfn("uninstall", "--crds", "--data", "--yes", timeout=500)
        assert _everything(bare) == set()


class TestWhatStandsAgainstAnInstallation:
    def test_is_somebody_elses_knative(self, bare: Platform, images: str) -> None:
        _remove(bare)
        name = "services.serving.knative.dev"
        versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]
        names = {"kind": "Service", "plural": "services", "singular": "service"}
        spec = {"group": "serving.knative.dev", "names": names, "scope": "Namespaced", "versions": versions}
        bare.apply({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name}, "spec": spec})
        try:
            refused = bare.kfn("install", "--images", images, check=False)
            assert refused.returncode == 1
            assert f"{name}: these kinds are here and not by kfn" in refused.stderr
        finally:
            bare.delete("crd", name)

    def test_are_rights_that_are_lacking(self, bare: Platform, images: str, tmp_path: Path) -> None:
        bare.kubectl("-n", "default", "create", "serviceaccount", "nobody", check=False)
        try:
            token = bare.kubectl("-n", "default", "create", "token", "nobody").strip()
            raw = json.loads(bare.kubectl("config", "view", "--raw", "-o", "json"))
            raw["users"] = [{"name": one["name"], "user": {"token": token}} for one in raw["users"]]
            limited = tmp_path / "limited"
            limited.write_text(json.dumps(raw))
            refused = bare.kfn("install", "--kubeconfig", str(limited), "--images", images, check=False)
            assert refused.returncode == 4
            assert "you may not" in refused.stderr
            assert "create customresourcedefinitions.apiextensions.k8s.io" in refused.stderr
        finally:
            bare.delete("serviceaccount", "nobody")
