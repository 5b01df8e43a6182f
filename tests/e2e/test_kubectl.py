"""Stock kubectl against the embedded platform: what people and GitOps tools do with a Knative Service."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.harness import Platform, Result, eventually, function, run, running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on the PATH"),
]

SERVICE = """apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: applied
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/min-scale: "1"
    spec:
      containers:
        - image: {image}
          env:
            - name: WORD
              value: {word}
"""


async def kubectl(platform: Platform, *args: str, stdin: str | None = None, check: bool = True, **env: str) -> Result:
    result = await run(
        "kubectl", *args, env={**os.environ, "KUBECONFIG": str(platform.data / "kubeconfig"), **env}, timeout=60,
        stdin=stdin.encode() if stdin is not None else None,
    )  # fmt: skip
    assert not check or result.code == 0, f"kubectl {' '.join(args)}: {result.out}\n{result.err}\n{platform.log[-2000:]}"
    return result


async def built(platform: Platform, tmp_path: Path) -> str:
    source = "import os\ndef handle(request):\n    print('asked', flush=True)\n    return os.environ['WORD']\n"
    return (await platform.kfn("build", str(function(tmp_path / "f", source)))).last_line


async def test_a_service_is_applied_watched_edited_and_deleted(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        image = await built(platform, tmp_path)
        applied = await kubectl(platform, "apply", "-f", "-", stdin=SERVICE.format(image=image, word="one"))
        assert applied.out.strip() == "service.serving.knative.dev/applied created"
        await kubectl(platform, "wait", "ksvc/applied", "--for=condition=Ready", "--timeout=20s")
        table = (await kubectl(platform, "get", "ksvc")).out.splitlines()
        assert table[0].split() == ["NAME", "URL", "LATESTCREATED", "LATESTREADY", "READY", "REASON"]
        assert table[1].split()[2:] == ["applied-00001", "applied-00001", "True"]
        assert (await platform.request("applied.default.localhost")).text == "one"

        # kubectl sees server-side defaults inside the list of containers and patches them away; defaulting brings them back
        await kubectl(platform, "apply", "-f", "-", stdin=SERVICE.format(image=image, word="one"))
        assert (await kubectl(platform, "get", "ksvc", "applied", "-o", "jsonpath={.metadata.generation}")).out == "1"
        await kubectl(platform, "apply", "-f", "-", stdin=SERVICE.format(image=image, word="two"))
        await serves(platform, "two")

        editor = tmp_path / "editor.sh"
        editor.write_text("#!/bin/sh\nsed -i 's/value: two/value: three/' \"$1\"\n")
        editor.chmod(0o755)
        await kubectl(platform, "edit", "ksvc", "applied", KUBE_EDITOR=str(editor))
        await serves(platform, "three")
        assert "applied-00003" in (await kubectl(platform, "get", "revisions")).out

        described = (await kubectl(platform, "describe", "ksvc", "applied")).out
        assert "Latest Ready Revision Name" in described

        await kubectl(platform, "delete", "ksvc", "applied")

        async def nothing_left() -> bool:
            left = (await kubectl(platform, "get", "ksvc,revisions,routes,configurations,deploy,pods", "-o", "name")).out
            return left.strip() == ""

        await eventually(nothing_left, 20, "something of the deleted service is still there")


async def serves(platform: Platform, word: str) -> None:
    async def yes() -> bool:
        answer = await platform.request("applied.default.localhost")
        assert answer.status_code == 200, "an update never fails a request"
        return answer.text == word

    await eventually(yes, 20, f"applied does not answer {word!r}")


async def test_pods_deployments_and_logs_look_like_kubernetes(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        image = await built(platform, tmp_path)
        await kubectl(platform, "apply", "-f", "-", stdin=SERVICE.format(image=image, word="one"))
        await kubectl(platform, "wait", "ksvc/applied", "--for=condition=Ready", "--timeout=20s")
        await platform.request("applied.default.localhost")
        pods = (await kubectl(platform, "get", "pods")).out.splitlines()
        assert pods[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        assert pods[1].split()[1:3] == ["1/1", "Running"]
        deploy = (await kubectl(platform, "get", "deploy")).out.splitlines()
        assert deploy[1].split()[:2] == ["applied-00001-deployment", "1/1"]
        logs = (await kubectl(platform, "logs", "-l", "serving.knative.dev/service=applied", "-c", "user-container")).out
        assert "asked" in logs
        assert (await kubectl(platform, "get", "--raw", "/readyz")).out.strip() in ("ok", "")
        version = json.loads((await kubectl(platform, "version", "-o", "json")).out)
        assert "kfn" in version["serverVersion"]["gitVersion"]


async def test_wrong_manifests_are_refused_with_the_field(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        bad = SERVICE.format(image="kfn.local/default/x@sha256:" + "0" * 64, word="one")
        unknown = await kubectl(platform, "apply", "-f", "-", stdin=bad.replace("image:", "imagee:"), check=False)
        assert unknown.code != 0
        assert "imagee" in unknown.err
        traffic = bad + "  traffic:\n    - latestRevision: true\n      percent: 90\n"
        percent = await kubectl(platform, "apply", "-f", "-", stdin=traffic, check=False)
        assert percent.code != 0
        assert "spec.traffic" in percent.err

        await kubectl(platform, "apply", "-f", "-", stdin=bad)

        async def told() -> bool:
            ksvc = json.loads((await kubectl(platform, "get", "ksvc", "applied", "-o", "json")).out)
            ready = next((c for c in ksvc["status"].get("conditions", []) if c["type"] == "Ready"), {})
            return ready.get("status") == "False" and "kfn" in ready.get("message", "")

        await eventually(told, 20, "an image that is not there is not told on the Service")


async def test_a_wrong_token_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        config = tmp_path / "other"
        text = (platform.data / "kubeconfig").read_text()
        token = (platform.data / "token").read_text().strip()
        config.write_text(text.replace(token, "x" * len(token)))
        refused = await kubectl(platform, "get", "pods", check=False, KUBECONFIG=str(config))
        assert refused.code != 0
        assert "nauthorized" in refused.err or "must be logged in" in refused.err
        assert (platform.data / "kubeconfig").stat().st_mode & 0o777 == 0o600
