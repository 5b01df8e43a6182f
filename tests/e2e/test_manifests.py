"""Knative manifests of many shapes, applied by stock kubectl to the embedded platform."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import Platform, eventually, function, running
from tests.e2e.test_kubectl import kubectl

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on the PATH"),
]

SOURCE = """import os, pathlib
def handle(request):
    if request.path == "/file":
        return pathlib.Path(os.environ["KFN_VOLUME_CONF"], "file.txt").read_text()
    return " ".join(os.environ.get(n, "-") for n in ("PW", "C_COLOR", "K_REVISION"))
"""
LONGEST = "a-service-whose-name-is-exactly-as-long-as-a-dns-label-may-be-x"

SHAPES = """apiVersion: v1
kind: Secret
metadata: {{name: sec}}
stringData: {{pw: hush}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: conf}}
data: {{COLOR: blue, file.txt: inside}}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: shapes}}
spec:
  template:
    metadata: {{name: shapes-{revision}}}
    spec:
      containerConcurrency: 3
      timeoutSeconds: {timeout}
      volumes:
      - {{name: conf, configMap: {{name: conf}}}}
      containers:
      - name: front
        image: {image}
        ports: [{{containerPort: 8080}}]
        env:
        - {{name: PW, valueFrom: {{secretKeyRef: {{name: sec, key: pw}}}}}}
        envFrom: [{{configMapRef: {{name: conf}}, prefix: C_}}]
        resources: {{requests: {{cpu: 100m, memory: 64Mi}}, limits: {{cpu: "1", memory: 512Mi}}}}
        volumeMounts: [{{name: conf, mountPath: /etc/conf}}]
        readinessProbe: {{httpGet: {{path: /health/readiness}}}}
        livenessProbe: {{httpGet: {{path: /health/liveness}}}}
      - name: beside
        image: {image}
"""
PLAIN = """apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{{name}}}
spec: {{template: {{spec: {{containers: [{{image: "{image}"}}]}}}}}}
"""
ALONE = """apiVersion: serving.knative.dev/v1
kind: Configuration
metadata: {{name: alone}}
spec: {{template: {{spec: {{containers: [{{image: "{image}"}}]}}}}}}
---
apiVersion: serving.knative.dev/v1
kind: Route
metadata: {{name: way}}
spec: {{traffic: [{{configurationName: alone, percent: 100, tag: one}}]}}
"""


@asynccontextmanager
async def with_image(tmp_path: Path) -> AsyncIterator[tuple[Platform, str]]:
    async with running(tmp_path / "data") as platform:
        yield platform, (await platform.kfn("build", str(function(tmp_path / "f", SOURCE)))).last_line


async def ready(platform: Platform, name: str) -> None:
    await kubectl(platform, "wait", name, "--for=condition=Ready", "--timeout=20s")


async def says(platform: Platform, host: str, path: str = "/") -> str:
    return (await platform.request(f"{host}.default.localhost", path)).text


async def test_two_containers_probes_limits_environment_and_volumes(tmp_path: Path) -> None:
    async with with_image(tmp_path) as (platform, image):
        await kubectl(platform, "apply", "-f", "-", stdin=SHAPES.format(image=image, revision="v1", timeout=30))
        await ready(platform, "ksvc/shapes")
        assert await says(platform, "shapes") == "hush blue shapes-v1"
        assert await says(platform, "shapes", "/file") == "inside"
        assert (await kubectl(platform, "get", "pods", "--no-headers")).out.split()[1] == "2/2"

        reused = await kubectl(platform, "apply", "-f", "-", stdin=SHAPES.format(image=image, revision="v1", timeout=31), check=False)
        assert "spec.template.metadata.name" in reused.err, "a revision's name is for one template"


async def test_traffic_is_patched_to_tags_and_pinned_revisions_and_deleted_revisions_come_back_only_if_newest(tmp_path: Path) -> None:
    async with with_image(tmp_path) as (platform, image):
        for revision, timeout in (("v1", 30), ("v2", 40)):
            await kubectl(platform, "apply", "-f", "-", stdin=SHAPES.format(image=image, revision=revision, timeout=timeout))
            await ready(platform, f"revision/shapes-{revision}")
        await ready(platform, "ksvc/shapes")
        split = [{"revisionName": "shapes-v1", "percent": 100, "tag": "old"}, {"latestRevision": True, "percent": 0, "tag": "new"}]
        await kubectl(platform, "patch", "ksvc", "shapes", "--type=merge", "-p", json.dumps({"spec": {"traffic": split}}))
        await ready(platform, "ksvc/shapes")
        assert [await says(platform, host) for host in ("shapes", "old-shapes", "new-shapes")] == [
            "hush blue shapes-v1", "hush blue shapes-v1", "hush blue shapes-v2",
        ]  # fmt: skip
        replace = [{"op": "replace", "path": "/spec/traffic", "value": [{"latestRevision": True, "percent": 100}]}]
        await kubectl(platform, "patch", "ksvc", "shapes", "--type=json", "-p", json.dumps(replace))
        await ready(platform, "ksvc/shapes")
        await kubectl(platform, "delete", "revision", "shapes-v1", "shapes-v2")

        async def only_the_newest() -> bool:
            found = (await kubectl(platform, "get", "revisions", "-o", "jsonpath={.items[*].metadata.name}")).out
            return found == "shapes-v2" and await says(platform, "shapes") == "hush blue shapes-v2"

        await eventually(only_the_newest, 15, "the newest revision is not made again")


async def test_names_are_generated_and_may_have_63_characters(tmp_path: Path) -> None:
    async with with_image(tmp_path) as (platform, image):
        made = await kubectl(platform, "create", "-f", "-", stdin=PLAIN.format(name="generateName: gen-", image=image))
        name = made.out.split()[0].partition("/")[2]
        assert name.startswith("gen-")
        await kubectl(platform, "apply", "-f", "-", stdin=PLAIN.format(name=f"name: {LONGEST}", image=image))
        for one in (name, LONGEST):
            await ready(platform, f"ksvc/{one}")
        assert (await says(platform, name)).endswith(f" {name}-00001")
        assert (await says(platform, LONGEST)).endswith(" a-service-whose-name-is-e8f184311a9fa6b08c9508ef2b1e0495e-00001")


async def test_a_configuration_and_a_route_stand_alone(tmp_path: Path) -> None:
    async with with_image(tmp_path) as (platform, image):
        await kubectl(platform, "apply", "-f", "-", stdin=ALONE.format(image=image))
        await ready(platform, "route/way")
        for host in ("way", "one-way"):
            assert (await says(platform, host)).endswith(" alone-00001")
        assert "No resources found" in (await kubectl(platform, "get", "ksvc")).err
