"""A Revision on a real cluster: what its pods look like, that they keep it, how they end, and how little the controller writes."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.cluster.platform import Platform
from tests.cluster.shell import until
from tests.cluster.spaces import Space, space
from tests.cluster.threads import beside

pytestmark = pytest.mark.cluster

OURS = "ksvc,configurations.serving.knative.dev,revisions.serving.knative.dev,routes.serving.knative.dev,deployments,services"
READER = """
import json, os, pathlib, sys

def handle(context):
    files = {p: pathlib.Path(p).read_text() for p in os.environ.get("FILES", "").split() if pathlib.Path(p).is_file()}
    return json.dumps({"python": sys.executable, "files": files, "env": dict(os.environ), "token": os.path.exists("/var/run/secrets")})
"""
CALLER = """
import urllib.request

def handle(context):
    url = context.query["url"]
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()
"""


@pytest.fixture(scope="module")
def there(platform: Platform) -> Iterator[Space]:
    with space(platform) as made:
        yield made


def body(there: Space, name: str, path: str = "/") -> str:
    answer = there.platform.request(f"{name}.{there.name}.{there.platform.domain}", path)
    assert answer.status == 200, f"{answer.status}: {answer.text}"
    return answer.text


def pods(there: Space, name: str) -> dict[str, dict[str, object]]:
    """By name, those that are not on their way out."""
    found = there.items("pods", f"serving.knative.dev/service={name}")
    return {pod["metadata"]["name"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}


def versions(there: Space) -> dict[str, str]:
    """Of each object: kinds of two groups are called Service."""
    found = there.items(OURS)
    return {f"{one['apiVersion']} {one['kind']} {one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in found}


@dataclass
class Seen:
    answers: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@contextmanager
def asking(there: Space, name: str) -> Iterator[Seen]:
    """Requests one after the other, all through the block; what is not a 200 is kept."""
    seen, ended = Seen(), threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                answer = there.platform.request(f"{name}.{there.name}.{there.platform.domain}")
                (seen.answers if answer.status == 200 else seen.wrong).append(answer.text)
            except OSError as error:
                seen.wrong.append(repr(error))

    with beside(ended, *[ask] * 3):
        yield seen


class TestAPod:
    def test_has_one_container_without_a_token_and_with_the_restricted_profile(self, there: Space) -> None:
        there.function("plain", there.platform.image(READER, "reader"))
        there.ready("plain")
        (pod,) = pods(there, "plain").values()
        spec = json.loads(json.dumps(pod["spec"]))
        (container,) = spec["containers"]
        assert container["name"] == "user-container"
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
        assert "@sha256:" in container["image"]
        assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": 1}}}
        assert spec["terminationGracePeriodSeconds"] == 301
        assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"], spec.get("volumes", [])) == (False, False, [])
        told = json.loads(body(there, "plain"))
        assert told["token"] is False
        env = told["env"]
        assert (env["K_SERVICE"], env["K_CONFIGURATION"], env["K_REVISION"]) == ("plain", "plain", "plain-00001")
        assert env["PORT"] == str(container["ports"][0]["containerPort"])

    def test_has_volumes_of_each_kind_an_init_container_and_a_second_one(self, there: Space) -> None:
        image = there.platform.image(READER, "reader")
        there.function("where", image)
        there.ready("where")
        python = json.loads(body(there, "where"))["python"]
        there.kubectl("create", "configmap", "settings", "--from-literal=k=of a ConfigMap")
        there.kubectl("create", "secret", "generic", "secrets", "--from-literal=k=of a Secret")
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
        there.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": claim})
        service = {
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "ports": [{"containerPort": 8080}],
                    "env": [
                        {"name": "FILES", "value": "/c/k /s/k /p/k /p/name /scratch/made /scratch/beside"},
                        {"name": "MINE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "k"}}},
                    ],
                    "volumeMounts": [
                        {"name": "c", "mountPath": "/c"}, {"name": "s", "mountPath": "/s"}, {"name": "p", "mountPath": "/p"},
                        {"name": "scratch", "mountPath": "/scratch"}, {"name": "models", "mountPath": "/models"},
                    ],
                },
                {
                    "name": "beside",
                    "image": image,
                    "command": [python, "-c", "import time; open('/scratch/beside','w').write('beside'); time.sleep(100000)"],
                    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                },
            ],
            "initContainers": [
                {
                    "name": "first",
                    "image": image,
                    "command": [python, "-c", "open('/scratch/made','w').write('before')"],
                    "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                }
            ],
            "volumes": [
                {"name": "c", "configMap": {"name": "settings"}},
                {"name": "s", "secret": {"secretName": "secrets"}},
                {
                    "name": "p",
                    "projected": {
                        "sources": [
                            {"secret": {"name": "secrets"}},
                            {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
                        ]
                    },
                },
                {"name": "scratch", "emptyDir": {}},
                {"name": "models", "persistentVolumeClaim": {"claimName": "models"}},
            ],
        }  # fmt: skip
        template = {"spec": service}
        there.apply(
            {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "much"}, "spec": {"template": template}}
        )
        there.ready("much")
        until(lambda: "/scratch/beside" in json.loads(body(there, "much"))["files"], lambda: "the second container wrote nothing")
        told = json.loads(body(there, "much"))
        assert told["files"] == {
            "/c/k": "of a ConfigMap", "/s/k": "of a Secret", "/p/k": "of a Secret", "/p/name": there.name,
            "/scratch/made": "before", "/scratch/beside": "beside",
        }  # fmt: skip
        assert told["env"]["MINE"] == "of a ConfigMap"

    @pytest.mark.parametrize(
        "probe",
        [{"httpGet": {"path": "/health/readiness"}}, {"httpGet": {"path": "/health/readiness"}, "periodSeconds": 2}, {"tcpSocket": {}}],
        ids=["http-as-fast-as-it-can", "http", "tcp"],
    )
    def test_becomes_ready_by_its_probe(self, there: Space, probe: dict[str, object]) -> None:
        there.function("probed", there.platform.hello(), readinessProbe=probe)
        there.ready("probed")
        assert body(there, "probed") == "hi"


class TestAnEnd:
    def test_of_a_pod_loses_no_request(self, there: Space) -> None:
        there.function("kept", there.platform.hello())
        there.ready("kept")
        with asking(there, "kept") as seen:
            for _ in range(3):
                (name,) = pods(there, "kept")
                there.kubectl("delete", "pod", name, "--wait=false")
                until(lambda name=name: pods(there, "kept").keys() - {name}, lambda: "no other pod came")  # type: ignore[misc]
                time.sleep(1)  # noqa: TID251 - while the old one ends
        assert not seen.wrong, seen.wrong[:3]
        assert len(seen.answers) > 10

    def test_of_a_service_in_the_foreground_leaves_nothing(self, platform: Platform) -> None:
        with space(platform) as there:
            there.function("gone", platform.hello())
            there.ready("gone")
            there.platform.kn("service", "delete", "gone", "-n", there.name, "--wait")
            until(lambda: not there.items(f"{OURS},replicasets,pods,endpointslices"), lambda: f"left: {there.items(OURS)}")


class TestTraffic:
    def test_moves_to_each_new_revision_without_a_failed_request(self, there: Space) -> None:
        there.function("moves", there.platform.hello("one"))
        there.ready("moves")
        with asking(there, "moves") as seen:
            for word in ("two", "three"):
                there.function("moves", there.platform.hello(word))
                there.ready("moves")
        assert not seen.wrong, seen.wrong[:3]
        until(lambda: body(there, "moves") == "three", lambda: "the newest does not answer")

    def test_inside_goes_by_the_functions_name_from_any_pod(self, there: Space) -> None:
        there.function("callee", there.platform.hello("hi there"))
        there.function("caller", there.platform.image(CALLER, "caller"))
        there.ready("callee")
        there.ready("caller")
        for host in (f"callee.{there.name}.svc.cluster.local", f"callee.{there.name}.svc", f"callee.{there.name}"):
            assert body(there, "caller", f"/?url=http://{host}/") == "hi there", host
        placeholder = there.get("service", "callee")
        assert placeholder["spec"]["externalName"] == "kfn-gateway-internal.kfn-system.svc.cluster.local"
        assert placeholder["metadata"]["labels"]["serving.knative.dev/route"] == "callee"

    def test_of_a_cluster_local_function_does_not_come_from_outside(self, there: Space) -> None:
        service = {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "inner", "labels": {"networking.knative.dev/visibility": "cluster-local"}},
            "spec": {"template": {"spec": {"containers": [{"image": there.platform.hello()}]}}},
        }
        there.apply(service)
        assert there.ready("inner")["status"]["url"] == f"http://inner.{there.name}.svc.cluster.local"
        assert there.platform.request(f"inner.{there.name}.{there.platform.domain}").status == 404
        there.function("caller", there.platform.image(CALLER, "caller"))
        there.ready("caller")
        assert body(there, "caller", f"/?url=http://inner.{there.name}.svc.cluster.local/") == "hi"

    def test_has_no_name_while_a_service_of_the_users_own_has_it(self, there: Space) -> None:
        there.kubectl("create", "service", "clusterip", "taken", "--tcp=80:80")
        there.function("taken", there.platform.hello())
        there.says("taken", "False", "NotOwned", 'existing placeholder Service "taken" that we do not own')
        there.kubectl("delete", "service", "taken")
        there.says("taken", "True", "", "", within=150)


class TestTheController:
    def test_writes_nothing_when_nothing_changes(self, platform: Platform) -> None:
        short = {"autoscaling.knative.dev/window": "6s"}  # they go to zero, so that it is quiet for its own sake
        with space(platform) as there:
            image = platform.hello()
            many = [
                {
                    "apiVersion": "serving.knative.dev/v1",
                    "kind": "Service",
                    "metadata": {"name": f"f{n}", "labels": {"team": "a"}},
                    "spec": {"template": {"metadata": {"annotations": short}, "spec": {"containers": [{"image": image}]}}},
                }
                for n in range(20)
            ]
            there.apply({"apiVersion": "v1", "kind": "List", "items": many})
            for n in range(20):
                there.ready(f"f{n}")
            settled = {"": ""}

            def settles() -> bool:
                nonlocal settled
                before, settled = settled, versions(there)
                return before == settled and not there.items("pods")

            until(lambda: (time.sleep(3), settles())[1], lambda: "it does not settle", 300)  # noqa: TID251
            time.sleep(60)  # noqa: TID251 - it has to be quiet for so long
            assert versions(there) == settled
            assert len(settled) == 20 * 7  # a Service each of both kinds, Configuration, Route, Revision, its Deployment and its Service

    def test_of_another_version_or_with_other_settings_restarts_no_pod(self, platform: Platform) -> None:
        with space(platform) as there:
            there.function("stays", platform.hello("one"))
            there.ready("stays")
            before = {name: pod["metadata"] for name, pod in pods(there, "stays").items()}
            (deployment,) = there.items("deployments")
            try:
                platform.upgrade(**{"config.preStop": 3, "config.securePodDefaults": "Enabled", "config.minNonActiveRevisions": 0,
                                    "config.retainSinceCreateTime": 0, "config.retainSinceLastActiveTime": 0})  # fmt: skip
                there.kubectl("label", "ksvc", "stays", "look=again")
                until(lambda: there.get("route.serving.knative.dev", "stays")["metadata"]["labels"].get("look"), lambda: "nobody looked")
                assert pods(there, "stays").keys() == before.keys()
                assert there.items("deployments")[0]["metadata"]["generation"] == deployment["metadata"]["generation"]
                there.function("stays", platform.hello("two"))
                there.ready("stays")
                new = there.items("pods", "serving.knative.dev/revision=stays-00002")[0]["spec"]["containers"][0]
                assert new["lifecycle"]["preStop"]["sleep"]["seconds"] == 3
                assert new["securityContext"]["runAsNonRoot"] is True
                left = "serving.knative.dev/revision=stays-00001"
                until(lambda: not there.items(f"{OURS},pods", left), lambda: "the old revision stays", 150)
                assert body(there, "stays") == "two"
            finally:
                platform.upgrade()
