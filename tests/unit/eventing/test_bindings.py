"""SinkBindings over kfn's own API server: who gets the address, when, and who loses it again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from eventing.sources.bindings import Bindings
from kfn import binding
from kfn.api import kinds, podspecable
from kfn.api.base import Json
from kfn.api.meta import Condition, Destination, ObjectMeta
from kfn.api.shapes import Selector
from kfn.api.sinkbinding import SinkBinding, SinkBindingSpec, Subject
from kfn.kube import errors
from kfn.kube.client import Client
from tests.unit.eventing.over_api import eventually, reconciling

URL = "http://sink.example"
DEPLOYMENT, JOB, SERVICE = podspecable.DEPLOYMENT, podspecable.JOB, podspecable.kind_of("serving.knative.dev/v1", "Service")
NAMED = Subject("apps/v1", "Deployment", name="a")
LABELLED = Subject("apps/v1", "Deployment", selector=Selector({"app": "a"}))


class Stage:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def workload(self, name: str = "a", kind: Any = DEPLOYMENT, **labels: str) -> None:
        pods = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec: Json = {"template": pods} | ({"selector": {"matchLabels": {"app": name}}} if kind is DEPLOYMENT else {})
        await self.client.create(kind, {"metadata": {"name": name, "labels": labels}, "spec": spec}, "default")

    async def bind(self, subject: Subject = NAMED, name: str = "b", url: str = URL) -> None:
        spec = SinkBindingSpec(sink=Destination(uri=url), subject=subject)
        await self.client.create(kinds.SINK_BINDING, SinkBinding(metadata=ObjectMeta(name=name), spec=spec), "default")

    async def sink(self, name: str = "a", kind: Any = DEPLOYMENT) -> str | None:
        found = await self.client.get(kind, name, "default")
        env = found.spec["template"]["spec"]["containers"][0].get("env") or []
        assert (binding.BOUND_BY in found.metadata.labels) == bool(env) or kind is JOB
        return next((one["value"] for one in env if one["name"] == "K_SINK"), None)

    async def has(self, url: str | None, name: str = "a", kind: Any = DEPLOYMENT) -> None:
        async def is_so() -> bool:
            return await self.sink(name, kind) == url

        await eventually(is_so)

    async def says(self, reason: str, name: str = "b") -> Condition:
        found = Condition()

        async def is_so() -> bool:
            nonlocal found
            conditions = (await self.client.get(kinds.SINK_BINDING, name, "default")).status.conditions
            found = next((one for one in conditions if one.type == "SinkBindingAvailable"), found)
            return (found.reason or found.status) == reason

        await eventually(is_so)
        return found

    async def change(self, patch: Json, name: str = "b", kind: Any = kinds.SINK_BINDING) -> None:
        await self.client.patch(kind, name, "default", patch)

    async def is_gone(self, name: str = "b") -> None:
        async def is_so() -> bool:
            try:
                await self.client.get(kinds.SINK_BINDING, name, "default")
            except errors.NotFound:
                return True
            return False

        await eventually(is_so)


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    async with reconciling(lambda world: world.bindings, Bindings) as client:
        yield Stage(client)


class TestSubjects:
    async def test_what_is_there_gets_the_address_and_loses_it_with_the_binding(self) -> None:
        async with stage() as at:
            await at.workload()
            before = await at.client.get(DEPLOYMENT, "a", "default")
            await at.bind()
            await at.has(URL)
            await at.says("True")
            await at.client.delete(kinds.SINK_BINDING, "b", "default")
            await at.is_gone()
            after = await at.client.get(DEPLOYMENT, "a", "default")
            assert after.metadata.generation == 3, "made, bound, let go: every other change would have been a rollout for nothing"
            assert (after.spec, after.metadata.labels) == (before.spec, before.metadata.labels)

    async def test_what_comes_later_has_it_from_the_first_moment(self) -> None:
        async with stage() as at:
            await at.bind()
            assert "no Deployment a" in (await at.says("SubjectMissing")).message
            await at.workload()
            assert await at.sink() == URL
            await at.bind(Subject("batch/v1", "Job", selector=Selector({"x": "y"})), "jobs")
            await at.says("True", "jobs")
            await at.workload("j", JOB, x="y")
            assert await at.sink("j", JOB) == URL

    async def test_it_stays_whoever_writes_the_subject_anew(self) -> None:
        async with stage() as at:
            await at.workload("a", SERVICE)
            await at.bind(Subject("serving.knative.dev/v1", "Service", name="a"))
            await at.has(URL, kind=SERVICE)
            await at.change({"spec": {"template": {"spec": {"containers": [{"image": "other"}]}}}}, "a", SERVICE)
            assert await at.sink(kind=SERVICE) == URL

    async def test_another_sink_and_another_subject_are_followed(self) -> None:
        async with stage() as at:
            await at.workload()
            await at.workload("s", SERVICE)
            await at.bind()
            await at.has(URL)
            await at.change({"spec": {"sink": {"uri": "http://other.example"}}})
            await at.has("http://other.example")
            await at.change(
                {"spec": {"sink": {"uri": URL}, "subject": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "s"}}}
            )
            await at.has(URL, "s", SERVICE)
            await at.has(None)

    async def test_a_subject_that_loses_its_label_loses_the_address(self) -> None:
        async with stage() as at:
            await at.workload(app="a")
            await at.workload("other", app="b")
            await at.bind(LABELLED)
            await at.has(URL)
            assert await at.sink("other") is None
            await at.change({"metadata": {"labels": {"app": None}}}, "a", DEPLOYMENT)
            await at.change({"metadata": {"annotations": {"look": "again"}}})  # it would by itself, in a minute
            await at.has(None)

    async def test_a_job_that_runs_already_is_told_of(self) -> None:
        async with stage() as at:
            await at.workload("j", JOB)
            await at.bind(Subject("batch/v1", "Job", name="j"))
            assert "make it anew" in (await at.says("JobUnchangeable")).message
            assert await at.sink("j", JOB) is None

    async def test_the_second_that_wants_a_workload_is_told_who_has_it(self) -> None:
        async with stage() as at:
            await at.workload(app="a")
            await at.bind(LABELLED, "first")
            await at.says("True", "first")
            await at.bind(NAMED, "by-name", "http://other.example")
            await at.has("http://other.example")
            await at.change({"metadata": {"annotations": {"look": "again"}}}, "first")
            assert "by-name" in (await at.says("SubjectTaken", "first")).message

    async def test_who_wants_to_be_left_alone_is(self) -> None:
        async with stage() as at:
            await at.workload(**{binding.EXCLUDE: "true"})
            await at.bind()
            await at.says("Excluded")
            assert await at.sink() is None
            await at.client.patch(kinds.NAMESPACE, "default", None, {"metadata": {"labels": {binding.EXCLUDE: "true"}}})
            await at.workload("b", app="a")
            await at.bind(LABELLED, "second")
            assert "namespace" in (await at.says("Excluded", "second")).message

    async def test_a_missing_sink_changes_nothing(self) -> None:
        async with stage() as at:
            await at.workload()
            ref = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": "none"}
            body = {
                "metadata": {"name": "b"},
                "spec": {"sink": {"ref": ref}, "subject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}},
            }
            await at.client.create(kinds.SINK_BINDING, body, "default")
            await at.says("SinkMissing")
            assert await at.sink() is None

    async def test_a_kind_that_nobody_knows_is_missing(self) -> None:
        async with stage() as at:
            await at.bind(Subject("example.dev/v1", "Robot", name="r"))
            await at.says("SubjectMissing")
            await at.client.delete(kinds.SINK_BINDING, "b", "default")
            await at.is_gone()
