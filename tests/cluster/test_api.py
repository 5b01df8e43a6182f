"""CRDs and webhook as Kubernetes' own API server sees them, and kubectl: what is refused and in which words, by whom while whom is away."""

import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from kfn.api import crd
from kfn.api.admission import admit
from tests.cluster.shell import until
from tests.cluster.threads import beside
from tests.peers import controlplane
from tests.peers.controlplane import ControlPlane
from tests.unit.api.test_admission import BAD, CORPUS, service, trigger

pytestmark = pytest.mark.cluster

HOOKS = ("mutatingwebhookconfiguration", "validatingwebhookconfiguration")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server with kfn's CRDs, and no kfn."""
    with controlplane.running(tmp_path_factory.mktemp("bare")) as plane:
        yield plane


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server that asks kfn's webhook."""
    url = f"https://127.0.0.1:{controlplane.free_port()}"
    with controlplane.running(tmp_path_factory.mktemp("asked")) as plane, controlplane.controller(plane, url, "--no-lease"):
        until(lambda: all(_told(plane, kind) for kind in HOOKS), lambda: "the API server was not told of the webhook")
        yield plane


def _told(plane: ControlPlane, kind: str) -> str:
    return plane.kubectl("get", kind, "webhook.kfn.dev", "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}", check=False).stdout


def called(obj: dict[str, Any], name: str) -> str:
    """The manifest, with another name, that all that is made of the old one follows."""
    return json.dumps({**obj, "metadata": {**obj["metadata"], "name": name}}).replace('"hello-', f'"{name}-')


class TestTheCrds:
    def test_are_established_and_structural(self, bare: ControlPlane) -> None:
        for one in json.loads(bare.kubectl("get", "crd", "-o", "json").stdout)["items"]:
            conditions = {c["type"]: c["status"] for c in one["status"]["conditions"]}
            assert conditions["Established"] == "True"
            assert "NonStructuralSchema" not in conditions

    def test_are_all_there(self, bare: ControlPlane) -> None:
        names = set(bare.kubectl("get", "crd", "-o", "name").stdout.split())
        assert names == {f"customresourcedefinition.apiextensions.k8s.io/{kind.qualified}" for kind in crd.own()}

    def test_fields_can_be_read_about(self, bare: ControlPlane) -> None:
        assert "makes a new" in bare.kubectl("explain", "ksvc.spec.template").stdout
        assert "How many requests one instance" in bare.kubectl("explain", "ksvc.spec.template.spec.containerConcurrency").stdout
        assert "tolerationSeconds" in bare.kubectl("explain", "rev.spec.tolerations").stdout

    def test_a_mistyped_field_is_named(self, bare: ControlPlane) -> None:
        said = bare.refused("apply", "-f", "-", stdin=called(service(imag="x"), "mistyped"))
        assert 'unknown field "spec.template.spec.containers[0].imag"' in said


class TestRulesWithoutTheWebhook:
    """While its configuration is missing nobody fills in or asks; the API server still knows this much."""

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"traffic": [{"percent": 50, "latestRevision": True}]}, "do not make 100"),
            ({"container": {"env": [{"name": "PORT", "value": "1"}]}}, "'PORT' is set by the platform"),
            ({"container": {"ports": [{"containerPort": 80}, {"containerPort": 81}]}}, "ports"),
            ({"container": {"ports": [{"containerPort": 80, "name": "grpc"}]}}, 'supported values: "", "http1", "h2c"'),
            ({"container": {"ports": [{"containerPort": 9090}]}}, "this port is reserved"),
            ({"container": {"securityContext": {"runAsUser": -10}}}, "runAsUser"),
            ({"container": {"stdin": True}}, "a function has no standard input"),
            ({"container": {"lifecycle": {"preStop": {}}}}, "lifecycle is not allowed"),
            ({"container": {"volumeMounts": [{"name": "v", "mountPath": "/"}]}}, "reserved by the platform"),
        ],
    )
    def test_the_worst_is_refused(self, bare: ControlPlane, change: dict[str, Any], said: str) -> None:
        obj = service(traffic=change.get("traffic"), **change.get("container", {}))
        assert said in bare.refused("create", "-f", "-", stdin=called(obj, "worst"))

    def test_what_may_not_change_does_not(self, bare: ControlPlane) -> None:
        manifest = called(trigger(), "fixed")
        bare.kubectl("create", "-f", "-", stdin=manifest)
        patch = '{"spec":{"broker":"other"}}'
        assert "immutable: it is default" in bare.refused("patch", "trigger", "fixed", "--type=merge", "-p", patch)
        revision = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Revision",
            "metadata": {"name": "r"},
            "spec": {"containers": [{"image": "a"}]},
        }
        bare.kubectl("create", "-f", "-", stdin=json.dumps(revision))
        assert "immutable; change the Service" in bare.refused("patch", "rev", "r", "--type=merge", "-p", '{"spec":{"timeoutSeconds":3}}')
        bare.kubectl("label", "rev", "r", "a=b")

    @pytest.mark.parametrize("number", range(len(CORPUS)))
    def test_what_admission_lets_through_is_never_refused(self, bare: ControlPlane, number: int) -> None:
        obj = CORPUS[number]
        kind = next(kind for kind in crd.own() if kind.kind == obj["kind"])
        stored = admit(kind, "CREATE", json.loads(called(obj, f"good-{number}")), None, "ann")
        bare.kubectl("create", "--validate=strict", "--dry-run=server", "-f", "-", stdin=json.dumps(stored))


class TestTheWebhook:
    def test_a_bad_object_is_refused_with_every_field(self, asked: ControlPlane) -> None:
        said = asked.refused("apply", "-f", "-", stdin=called(service(image="", tty=True), "bad"))
        assert 'The Service "bad" is invalid' in said
        assert "spec.template.spec.containers[0].tty: not allowed" in said
        assert "spec.template.spec.containers[0].image: missing" in said

    def test_the_tables_of_the_embedded_server_hold_here(self, asked: ControlPlane) -> None:
        """All of what that one refuses, in one stream: each is refused, by one or the other."""
        manifests = [
            json.loads(called(obj, f"bad-{n}")) if obj["metadata"]["name"] == "hello" else obj for n, (obj, _, _) in enumerate(BAD)
        ]
        text = yaml.safe_dump_all(manifests)
        done = asked.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text, check=False)
        assert not done.stdout.strip(), f"let through: {done.stdout}"

    def test_who_made_it_and_who_changed_it_is_noted(self, asked: ControlPlane) -> None:
        asked.kubectl("apply", "-f", "-", stdin=called(service(), "signed"))
        asked.kubectl("apply", "-f", "-", stdin=called(service(args=["x"]), "signed"), user="bob")
        notes = json.loads(asked.kubectl("get", "ksvc", "signed", "-o", "json").stdout)["metadata"]["annotations"]
        assert notes["serving.knative.dev/creator"] == "admin"
        assert notes["serving.knative.dev/lastModifier"] == "bob"
        said = asked.refused("annotate", "ksvc", "signed", "--overwrite", "serving.knative.dev/creator=eve")
        assert "metadata.annotations[serving.knative.dev/creator]: immutable" in said

    def test_what_has_no_effect_is_told(self, asked: ControlPlane) -> None:
        obj = service(template={"metadata": {"annotations": {"autoscaling.knative.dev/target-burst-capacity": "0"}}})
        assert "Warning: spec.template.metadata.annotations" in asked.kubectl("apply", "-f", "-", stdin=called(obj, "warned")).stderr

    def test_what_was_applied_needs_no_further_change(self, asked: ControlPlane) -> None:
        """GitOps tools compare again and again: defaults must not look like somebody's edit."""
        manifest = called(service(ports=[{"containerPort": 9000, "name": "h2c"}]), "steady")
        asked.kubectl("apply", "-f", "-", stdin=manifest)
        before = _generation(asked, "steady")
        assert asked.kubectl("diff", "-f", "-", stdin=manifest).returncode == 0
        asked.kubectl("apply", "-f", "-", stdin=manifest)
        asked.kubectl("apply", "--server-side", "--field-manager=argocd", "--force-conflicts", "-f", "-", stdin=manifest)
        asked.kubectl("label", "ksvc", "steady", "team=a")
        assert _generation(asked, "steady") == before

    def test_two_appliers_own_their_own_fields(self, asked: ControlPlane) -> None:
        name = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "shared"}}
        pulls = {**name, "spec": {"template": {"spec": {"imagePullSecrets": [{"name": "platform"}], "nodeSelector": {"pool": "a"}}}}}
        own = json.loads(called(service(), "shared"))
        own["spec"]["template"]["spec"]["imagePullSecrets"] = [{"name": "mine"}]
        for manager, manifest in (("dev", own), ("platform", pulls), ("dev", own)):
            asked.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", stdin=json.dumps(manifest))
        pod = json.loads(asked.kubectl("get", "ksvc", "shared", "-o", "json").stdout)["spec"]["template"]["spec"]
        assert sorted(one["name"] for one in pod["imagePullSecrets"]) == ["mine", "platform"]
        assert pod["nodeSelector"] == {"pool": "a"}
        other = {**name, "spec": {"template": {"spec": {"timeoutSeconds": 5}}}}
        asked.kubectl("apply", "--server-side", "--field-manager=platform2", "-f", "-", stdin=json.dumps(other))
        said = asked.refused(
            "apply",
            "--server-side",
            "--field-manager=third",
            "-f",
            "-",
            stdin=json.dumps({**other, "spec": {"template": {"spec": {"timeoutSeconds": 9}}}}),
        )
        assert "conflict" in said and "platform2" in said

    def test_status_is_not_asked_about(self, asked: ControlPlane) -> None:
        asked.kubectl("apply", "-f", "-", stdin=called(service(), "status"))
        asked.kubectl("patch", "ksvc", "status", "--subresource=status", "--type=merge", "-p", '{"status":{"url":"http://x","later":1}}')


def _generation(plane: ControlPlane, name: str) -> int:
    return int(plane.kubectl("get", "ksvc", name, "-o", "jsonpath={.metadata.generation}").stdout)


class TestWhileItIsAway:
    def test_kfns_kinds_are_refused_clearly_and_all_else_goes_on(self, tmp_path: Path) -> None:
        with controlplane.running(tmp_path) as plane:
            url = f"https://127.0.0.1:{controlplane.free_port()}"
            with controlplane.controller(plane, url, "--no-lease") as process:
                until(lambda: all(_told(plane, kind) for kind in HOOKS), lambda: "the API server was not told of the webhook")
                obj = json.loads(called(service(), "before"))
                obj["metadata"]["finalizers"] = ["example.com/wait"]
                plane.kubectl("apply", "-f", "-", stdin=json.dumps(obj))
                process.kill()
                process.wait()
            said = plane.refused("create", "-f", "-", stdin=called(service(), "meanwhile"))
            assert 'failed calling webhook "default.webhook.kfn.dev"' in said
            plane.kubectl("create", "configmap", "other", "--from-literal=a=b")
            plane.kubectl("patch", "ksvc", "before", "--subresource=status", "--type=merge", "-p", '{"status":{"url":"http://x"}}')
            plane.kubectl("delete", "ksvc", "before", "--wait=false")
            plane.kubectl("patch", "ksvc", "before", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
            until(lambda: plane.kubectl("get", "ksvc", "before", check=False).returncode, lambda: "it is still there")

            with controlplane.controller(plane, url, "--no-lease"):  # it starts although its own webhook is away
                plane.kubectl("create", "-f", "-", stdin=called(service(), "after"))

    def test_what_somebody_edits_is_mended(self, asked: ControlPlane) -> None:
        for kind in HOOKS:
            before = _told(asked, kind)
            patch = '[{"op":"replace","path":"/webhooks/0/clientConfig/caBundle","value":"bm90aGluZw=="}]'
            done = asked.kubectl("patch", kind, "webhook.kfn.dev", "--type=json", "-p", patch, check=False)
            if done.returncode:  # the API server looks for a certificate in it
                asked.kubectl("delete", kind, "webhook.kfn.dev")
            until(lambda kind=kind, before=before: _told(asked, kind) == before, lambda: "it was not set back")  # type: ignore[misc]


@dataclass
class Writer:
    """Writes as fast as it can until told to stop; counts, and keeps what went wrong."""

    plane: ControlPlane
    name: str
    written: int = 0
    failed: str = ""

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set() and not self.failed:
            done = self.plane.kubectl("apply", "-f", "-", stdin=called(service(args=[str(self.written)]), self.name), check=False)
            if done.returncode:
                self.failed = done.stderr
            self.written += 1


class TestRotation:
    def test_no_write_fails_while_certificate_and_authority_change(self, tmp_path: Path) -> None:
        with controlplane.running(tmp_path) as plane:
            url = f"https://127.0.0.1:{controlplane.free_port()}"
            times = ("--webhook-life", "60", "--webhook-renew-before", "55", "--webhook-overlap", "3")
            with controlplane.controller(plane, url, "--no-lease", *times):
                until(lambda: all(_told(plane, kind) for kind in HOOKS), lambda: "the API server was not told of the webhook")
                shown: set[str] = set()
                stop = threading.Event()
                writers = [Writer(plane, f"busy-{n}") for n in range(2)]
                with beside(stop, *(partial(writer.run, stop) for writer in writers)):
                    until(lambda: shown.add(_secret(plane)) or len(shown) >= 4, lambda: f"{len(shown)} certificates were seen", 90)
        assert [writer.failed for writer in writers] == ["", ""]
        assert all(writer.written > 3 for writer in writers)


def _secret(plane: ControlPlane) -> str:
    return plane.kubectl("-n", "kfn-system", "get", "secret", "kfn-webhook-certs", "-o", "jsonpath={.data.tls\\.crt}").stdout


def test_the_programs_end_with_the_test(tmp_path: Path) -> None:
    with controlplane.running(tmp_path) as plane:
        port = plane.port
    assert subprocess.run(["curl", "-sk", f"https://127.0.0.1:{port}/readyz"], capture_output=True, check=False).returncode == 7
