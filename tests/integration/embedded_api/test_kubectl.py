"""Stock kubectl against the API server over TLS, without any flag that it would not need on a cluster."""

import asyncio
import copy
import json
from typing import Any

from kfn.api import kinds
from tests.integration.embedded_api.served import needs_kubectl, served

pytestmark = needs_kubectl

KSVC: dict[str, Any] = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "hello"},
    "spec": {"template": {"spec": {"containers": [{"image": "i:1", "env": [{"name": "A", "value": "b"}]}]}}},
}
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i:1", "env": [{"name": "A", "value": "1"}]}]},
        },
    },
}


def with_env(name: str) -> dict[str, Any]:
    changed = copy.deepcopy(DEPLOYMENT)
    changed["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": name, "value": "2"}]
    return changed


class TestWrites:
    async def test_apply_creates_changes_and_takes_away_what_is_left_out(self, tmp_path):
        async with served(tmp_path) as s:
            assert "deployment.apps/d created" in await s.apply(DEPLOYMENT, KSVC)
            assert "deployment.apps/d configured" in await s.apply(with_env("B"))
            assert "deployment.apps/d unchanged" in await s.apply(with_env("B"))
            env = (await s.json("get", "deploy", "d"))["spec"]["template"]["spec"]["containers"][0]["env"]
            assert [e["name"] for e in env] == ["B"]
            assert (await s.json("get", "ksvc", "hello"))["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]

    async def test_a_mistyped_field_is_refused_with_its_path_and_the_fix(self, tmp_path):
        bad = copy.deepcopy(KSVC)
        bad["spec"]["template"]["spec"]["containers"] = [{"imag": "i"}]
        async with served(tmp_path) as s:
            text = await s.kubectl("apply", "-f", "-", stdin=json.dumps(bad), fails=True)
            assert 'spec.template.spec.containers[0].imag: unknown field; did you mean "image"?' in text

    async def test_edit_patch_scale_label_and_replace(self, tmp_path):
        async with served(tmp_path) as s:
            await s.apply(DEPLOYMENT, KSVC)
            assert "edited" in await s.kubectl("edit", "ksvc", "hello", KUBE_EDITOR="sed -i s/i:1/i:2/")
            assert "edited" in await s.kubectl("edit", "deploy", "d", KUBE_EDITOR="sed -i s/i:1/i:2/")
            image = '{"spec":{"template":{"spec":{"containers":[{"name":"c","args":["x"]}]}}}}'
            await s.kubectl("patch", "deploy", "d", "-p", image)
            await s.kubectl("patch", "ksvc", "hello", "--type=json", "-p", '[{"op":"add","path":"/metadata/labels","value":{"q":"w"}}]')
            await s.kubectl("scale", "deploy", "d", "--replicas=3")
            await s.kubectl("label", "ksvc", "hello", "x=y")
            deployment, service = await s.json("get", "deploy", "d"), await s.json("get", "ksvc", "hello")
            container = deployment["spec"]["template"]["spec"]["containers"][0]
            assert (container["image"], container["args"], deployment["spec"]["replicas"]) == ("i:2", ["x"], 3)
            assert service["metadata"]["labels"] == {"q": "w", "x": "y"}
            assert service["spec"]["template"]["spec"]["containers"][0]["image"] == "i:2"

    async def test_server_side_apply_and_diff(self, tmp_path):
        manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {day: 2020-01-01x, k: %s}\n"
        async with served(tmp_path) as s:
            await s.kubectl("apply", "--server-side", "-f", "-", stdin=manifest % "a")
            await s.kubectl("apply", "--server-side", "-f", "-", stdin=manifest % "b")
            assert (await s.json("get", "cm", "m"))["data"] == {"day": "2020-01-01x", "k": "b"}
            assert "+  k: c" in await s.kubectl("diff", "-f", "-", stdin=manifest % "c", fails=True)
            assert (await s.json("get", "cm", "m"))["data"]["k"] == "b"  # diff asks with dryRun

    async def test_create_commands_that_speak_protobuf(self, tmp_path):
        async with served(tmp_path) as s:
            await s.kubectl("create", "namespace", "other")
            await s.kubectl("create", "configmap", "m", "--from-literal=a=b", "-n", "other")
            await s.kubectl("create", "secret", "generic", "s", "--from-literal=a=b", "-n", "other")
            await s.kubectl("create", "deployment", "d", "--image=i:1", "--port=80", "-n", "other", "--", "sleep", "1")
            await s.kubectl("create", "service", "clusterip", "c", "--tcp=80:web", "-n", "other")
            await s.kubectl("create", "serviceaccount", "a", "-n", "other")
            found = {i["kind"]: i for i in (await s.json("get", "cm,secret,deploy,svc,sa", "-n", "other"))["items"]}
            assert found["ConfigMap"]["data"] == {"a": "b"}
            assert found["Secret"]["data"] == {"a": "Yg=="}
            container = found["Deployment"]["spec"]["template"]["spec"]["containers"][0]
            assert (container["image"], container["command"], container["ports"]) == ("i:1", ["sleep", "1"], [{"containerPort": 80}])
            assert found["Deployment"]["spec"]["selector"] == {"matchLabels": {"app": "d"}}
            assert found["Service"]["spec"]["ports"][0]["targetPort"] == "web"
            assert "yes" in await s.kubectl("auth", "can-i", "create", "pods")
            assert "[*]" in await s.kubectl("auth", "can-i", "--list")
            assert "kfn:admin" in await s.kubectl("auth", "whoami")


class TestReads:
    async def test_get_prints_knatives_columns(self, tmp_path):
        async with served(tmp_path) as s:
            await s.apply(KSVC, DEPLOYMENT)
            status = {"url": "http://hello.test", "latestReadyRevisionName": "hello-00001"}
            await s.client.patch(kinds.SERVICE, "hello", "default", {"status": status}, subresource="status")
            header, row = (await s.kubectl("get", "ksvc")).splitlines()
            assert header.split() == ["NAME", "URL", "LATESTCREATED", "LATESTREADY", "READY", "REASON"]
            assert row.split() == ["hello", "http://hello.test", "hello-00001"]
            both = await s.kubectl("get", "ksvc,rev,route,config,broker,trigger,pods,deploy")
            assert "service.serving.knative.dev/hello" in both and "deployment.apps/d" in both
            everything = await s.kubectl("get", "all")
            assert "service.serving.knative.dev/hello" in everything and "deployment.apps/d" in everything

    async def test_explain_describe_api_resources_and_version(self, tmp_path):
        async with served(tmp_path) as s:
            await s.apply(KSVC, DEPLOYMENT)
            assert "containerConcurrency" in await s.kubectl("explain", "ksvc.spec.template.spec")
            assert "Latest Revision:  true" in await s.kubectl("describe", "ksvc", "hello")
            assert "Pod Template:" in await s.kubectl("describe", "deploy", "d")
            assert "kservice,ksvc" in await s.kubectl("api-resources")
            assert "v1.34.0+kfn" in await s.kubectl("version")
            assert "services.serving.knative.dev" in await s.kubectl("get", "crd")

    async def test_what_is_not_there_is_not_found(self, tmp_path):
        async with served(tmp_path) as s:
            text = await s.kubectl("get", "ksvc", "nope", fails=True)
            assert 'Error from server (NotFound): services.serving.knative.dev "nope" not found' in text

    async def test_logs_with_and_without_follow(self, tmp_path):
        async with served(tmp_path) as s:

            async def logs(namespace, pod, container, follow, tail, previous, since, timestamps):
                yield f"{namespace}/{pod}/{container} {follow} {tail} {previous} {since} {timestamps}\n".encode()
                if previous:
                    return
                for i in range(3 if follow else 0):
                    await asyncio.sleep(0.05)
                    yield f"line {i}\n".encode()

            s.server.logs = logs
            await s.kubectl("run", "p", "--image=i")
            assert await s.kubectl("logs", "p", "--tail=5", "--timestamps") == "default/p/p False 5 False None True\n"
            assert (await s.kubectl("logs", "-f", "p")).endswith("line 2\n")
            assert "container x is not valid for pod p" in await s.kubectl("logs", "p", "-c", "x", fails=True)


class TestWaiting:
    async def test_wait_sees_a_condition_that_turns_true(self, tmp_path):
        async with served(tmp_path) as s:
            await s.apply(KSVC)
            waiting = asyncio.create_task(s.kubectl("wait", "--for=condition=Ready", "ksvc/hello", "--timeout=20s"))
            await asyncio.sleep(0.3)
            status = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}
            await s.client.patch(kinds.SERVICE, "hello", "default", {"status": status}, subresource="status")
            assert "condition met" in await waiting

    async def test_get_watch_prints_a_line_a_change(self, tmp_path):
        async with served(tmp_path) as s:
            await s.apply(DEPLOYMENT)
            watching = asyncio.create_task(s.kubectl("get", "deploy", "-w", "--request-timeout=1500ms"))
            await asyncio.sleep(0.6)
            await s.client.patch(kinds.DEPLOYMENT, "d", "default", {"status": {"readyReplicas": 1}}, subresource="status")
            lines = (await watching).splitlines()
            assert lines[0].split()[0] == "NAME"
            assert [line.split()[:2] for line in lines[1:3]] == [["d", "0/1"], ["d", "1/1"]]

    async def test_delete_waits_until_the_object_is_gone(self, tmp_path):
        async with served(tmp_path) as s:
            await s.apply(KSVC)
            await s.kubectl("run", "p", "--image=i")
            assert "deleted" in await s.kubectl("delete", "ksvc", "hello")
            deleting = asyncio.create_task(s.kubectl("delete", "pod", "p"))
            while not (await s.client.get(kinds.POD, "p", "default")).metadata.deletion_timestamp:
                await asyncio.sleep(0.02)
            assert not deleting.done()
            await s.client.delete(kinds.POD, "p", "default", grace_seconds=0)  # the node has stopped it
            assert "deleted" in await deleting

    async def test_deleting_a_namespace_takes_all_that_is_in_it(self, tmp_path):
        async with served(tmp_path) as s:
            await s.kubectl("create", "ns", "other")
            await s.kubectl("create", "configmap", "m", "-n", "other")
            await s.kubectl("delete", "ns", "other")
            assert (await s.client.list(kinds.CONFIG_MAP, "other"))[0] == []
