"""ContainerSources over kfn's own API server: their Deployment, and what their conditions say of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from eventing.sources import adapter
from eventing.sources.containers import Containers
from kfn.api import kinds
from kfn.api.base import Json, encode
from kfn.api.containersource import ContainerSource, ContainerSourceSpec
from kfn.api.core import ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, PodStatus
from kfn.api.meta import Addressable, Condition, Destination, ObjectMeta
from kfn.api.podspecable import DEPLOYMENT, PodSpecable
from kfn.kube.client import Client
from tests.unit.eventing.over_api import eventually, reconciling

URL = "http://sink.example"
POD: Json = {"containers": [{"name": "c", "image": "i"}], "dnsPolicy": "Default"}


def source(name: str = "s", uri: str = URL, **pod: Any) -> ContainerSource:
    template = {"metadata": {"labels": {"app": "mine"}, "annotations": {"n": "1"}}, "spec": {**POD, **pod}}
    return ContainerSource(metadata=ObjectMeta(name=name), spec=ContainerSourceSpec(sink=Destination(uri=uri), template=template))


def waiting(reason: str, message: str) -> ContainerState:
    return ContainerState(waiting=ContainerStateWaiting(reason, message))


def ended(code: int, message: str) -> ContainerState:
    return ContainerState(terminated=ContainerStateTerminated(code, reason="Error", message=message))


class Stage:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def put(self, **more: Any) -> None:
        await self.client.create(kinds.CONTAINER_SOURCE, source(**more), "default")

    async def deployment(self, name: str = "s-deployment") -> PodSpecable:
        found = PodSpecable()

        async def is_there() -> bool:
            nonlocal found
            all_, _ = await self.client.list(DEPLOYMENT, "default")
            found = next((one for one in all_ if one.metadata.name == name), found)
            return bool(found.spec)

        await eventually(is_there)
        return found

    async def says(self, type: str, reason: str) -> Condition:
        found = Condition()

        async def is_so() -> bool:
            nonlocal found
            conditions = (await self.client.get(kinds.CONTAINER_SOURCE, "s", "default")).status.conditions
            found = next((one for one in conditions if one.type == type), found)
            return (found.reason or found.status) == reason

        await eventually(is_so)
        return found

    async def available(self, status: str, progress: str = "ReplicaSetUpdated") -> None:
        there = await self.deployment()
        condition = {"type": "Available", "status": status, "reason": "Minimum", "message": "said by it"}
        conditions = [condition, {"type": "Progressing", "status": "True", "reason": progress}]
        body = {"status": {"observedGeneration": there.metadata.generation, "conditions": conditions}}
        await self.client.patch(DEPLOYMENT, there.metadata.name, "default", body, subresource="status")


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    async with reconciling(lambda world: world.containers, Containers) as client:
        yield Stage(client)


class TestItsDeployment:
    async def test_runs_one_pod_of_the_template_that_knows_the_sink(self) -> None:
        async with stage() as at:
            await at.put()
            made = await at.deployment()
            assert made.spec["replicas"] == 1
            assert made.metadata.owner_references[0].name == "s"
            template = made.spec["template"]
            assert template["metadata"]["annotations"] == {"n": "1"}
            assert made.spec["selector"]["matchLabels"].items() < template["metadata"]["labels"].items()
            assert template["spec"]["dnsPolicy"] == "Default"
            env = template["spec"]["containers"][0]["env"]
            assert env == [{"name": "K_SINK", "value": URL}, {"name": "K_CE_OVERRIDES"}]

    async def test_follows_the_template_and_the_sink_and_stays_as_it_is_scaled(self) -> None:
        async with stage() as at:
            await at.put()
            await at.deployment()
            await at.client.patch(DEPLOYMENT, "s-deployment", "default", {"spec": {"replicas": 3}})
            pod = {"containers": [{"name": "other", "image": "i2"}], "dnsPolicy": None}
            changed = {"spec": {"template": {"spec": pod}, "sink": {"uri": "http://b.example"}}}
            await at.client.patch(kinds.CONTAINER_SOURCE, "s", "default", changed)

            async def is_so() -> bool:
                spec = (await at.deployment()).spec
                inside = spec["template"]["spec"]
                env = inside["containers"][0].get("env", [{}])
                return inside["containers"][0]["image"] == "i2" and env[0].get("value") == "http://b.example" and "dnsPolicy" not in inside

            await eventually(is_so)
            assert (await at.deployment()).spec["replicas"] == 3

    async def test_what_the_api_server_fills_in_is_no_change(self) -> None:
        body = adapter.wanted(source(), Addressable(url=URL))
        meta = ObjectMeta(name="s-deployment", annotations={**body["metadata"]["annotations"], "deployment.kubernetes.io/revision": "1"})
        there = PodSpecable(metadata=meta, spec={"template": {"spec": {"dnsPolicy": "ClusterFirst"}}})
        assert adapter.change(there, body) == []
        other = adapter.wanted(source(neverHeardOf={"x": 1}), Addressable(url=URL))
        assert other["spec"]["template"]["spec"]["neverHeardOf"] == {"x": 1}, "fields that kfn does not know stay"
        assert [step["op"] for step in adapter.change(there, other)] == ["test", "add", "replace"]

    async def test_a_long_name_gives_names_that_kubernetes_takes(self) -> None:
        body = adapter.wanted(source(name="x" * 100), Addressable(url=URL))
        assert len(body["metadata"]["name"]) == len(next(iter(body["spec"]["selector"]["matchLabels"].values()))) == 63

    async def test_of_somebody_else_stays_somebody_elses(self) -> None:
        async with stage() as at:
            meta = ObjectMeta(name="s-deployment", namespace="default")
            await at.client.create(DEPLOYMENT, {"metadata": encode(meta), "spec": {"template": {"spec": POD}}}, "default")
            await at.put()
            await at.says("ReceiveAdapterReady", "DeploymentNotOwned")
            assert "env" not in (await at.deployment()).spec["template"]["spec"]["containers"][0]


class TestItsConditions:
    async def test_it_is_ready_when_its_deployment_is(self) -> None:
        async with stage() as at:
            await at.put()
            await at.says("ReceiveAdapterReady", "DeploymentUnavailable")
            await at.available("False")
            await at.says("ReceiveAdapterReady", "DeploymentUnavailable")
            await at.available("True", "NewReplicaSetAvailable")
            await at.says("Ready", "True")
            status = (await at.client.get(kinds.CONTAINER_SOURCE, "s", "default")).status
            assert ({one.type for one in status.conditions}, status.sink_uri) == ({"Ready", "SinkBindingReady", "ReceiveAdapterReady"}, URL)

    async def test_it_is_not_ready_when_what_ran_does_not_run_any_more(self) -> None:
        async with stage() as at:
            await at.put()
            await at.available("False", "NewReplicaSetAvailable")
            assert (await at.says("ReceiveAdapterReady", "Minimum")).message == "said by it"

    @pytest.mark.parametrize(
        ("container", "reason", "told"),
        [
            (ContainerStatus("c", state=waiting("ImageMissing", "there is no image i here")), "ImageMissing", "there is no image i here"),
            (ContainerStatus("c", state=waiting("CrashLoopBackOff", "in 10 s"), last_state=ended(3, "no file")), "Error", "no file"),
        ],
    )  # fmt: skip
    async def test_a_pod_that_cannot_start_says_why(self, container: ContainerStatus, reason: str, told: str) -> None:
        async with stage() as at:
            await at.put()
            labels = (await at.deployment()).spec["template"]["metadata"]["labels"]
            status = encode(PodStatus(container_statuses=[container]))
            await at.client.create(kinds.POD, {"metadata": {"name": "p", "labels": labels}, "spec": POD}, "default")
            await at.client.patch(kinds.POD, "p", "default", {"status": status}, subresource="status")
            await at.available("False")
            assert told in (await at.says("ReceiveAdapterReady", reason)).message

    async def test_nothing_is_started_before_there_is_a_sink(self) -> None:
        async with stage() as at:
            ref = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "none"}
            body = {"metadata": {"name": "s"}, "spec": {"sink": {"ref": ref}, "template": {"spec": POD}}}
            await at.client.create(kinds.CONTAINER_SOURCE, body, "default")
            await at.says("ReceiveAdapterReady", "SinkMissing")
            assert (await at.client.list(DEPLOYMENT, "default"))[0] == []
