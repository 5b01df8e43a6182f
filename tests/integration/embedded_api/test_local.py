"""The typed client over the direct transport, against a real state file."""

from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from embedded.api.app import open_server
from embedded.api.local import LocalTransport
from kfn.api import core, kinds, serving
from kfn.api.meta import ObjectMeta, OwnerReference
from kfn.kube import errors
from kfn.kube.client import Client


@asynccontextmanager
async def client(path: Path):
    async with open_server(path / "state.db") as server:
        yield Client(LocalTransport(server))


def config_map(name: str = "a", **data: str) -> core.ConfigMap:
    return core.ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data=data)


def deployment(name: str = "d") -> core.Deployment:
    template = core.PodTemplateSpec(spec=core.PodSpec(containers=[core.Container(name="user-container", image="i")]))
    spec = core.DeploymentSpec(replicas=0, selector=core.LabelSelector(match_labels={"app": name}), template=template)
    return core.Deployment(metadata=ObjectMeta(name=name, namespace="default"), spec=spec)


class TestWrites:
    async def test_an_object_comes_back_as_created_with_what_the_server_owns(self, tmp_path):
        async with client(tmp_path) as c:
            made = await c.create(kinds.CONFIG_MAP, config_map(k="v"), "default")
            assert made.data == {"k": "v"} and made.metadata.uid and made.metadata.creation_timestamp
            assert await c.get(kinds.CONFIG_MAP, "a", "default") == made
            with pytest.raises(errors.AlreadyExists, match='configmaps "a" already exists'):
                await c.create(kinds.CONFIG_MAP, config_map(), "default")

    async def test_an_object_in_a_namespace_that_is_not_there_is_refused(self, tmp_path):
        async with client(tmp_path) as c:
            with pytest.raises(errors.NotFound, match='namespaces "nope" not found'):
                await c.create(kinds.CONFIG_MAP, {"metadata": {"name": "a"}}, "nope")

    async def test_a_stale_update_conflicts(self, tmp_path):
        async with client(tmp_path) as c:
            made = await c.create(kinds.CONFIG_MAP, config_map(k="1"), "default")
            await c.patch(kinds.CONFIG_MAP, "a", "default", {"data": {"k": "2"}})
            with pytest.raises(errors.Conflict, match="the object has been modified"):
                await c.update(kinds.CONFIG_MAP, made)

    async def test_a_write_that_changes_nothing_keeps_the_version(self, tmp_path):
        async with client(tmp_path) as c:
            made = await c.create(kinds.CONFIG_MAP, config_map(k="1"), "default")
            assert await c.patch(kinds.CONFIG_MAP, "a", "default", {"data": {"k": "1"}}) == made

    async def test_scale_moves_the_generation_and_status_does_not(self, tmp_path):
        async with client(tmp_path) as c:
            await c.create(kinds.DEPLOYMENT, deployment(), "default")
            await c.scale(kinds.DEPLOYMENT, "d", "default", 3)
            patch = {"status": {"readyReplicas": 1}, "spec": {"replicas": 9}}
            after = await c.patch(kinds.DEPLOYMENT, "d", "default", patch, subresource="status")
            assert (after.spec.replicas, after.status.ready_replicas, after.metadata.generation) == (3, 1, 2)

    async def test_nobody_can_change_the_store_through_what_it_hands_out(self, tmp_path):
        async with client(tmp_path) as c:
            await c.create(kinds.CONFIG_MAP, config_map(k="1"), "default")
            path = kinds.CONFIG_MAP.path("default", "a")
            (await c.transport.request("GET", path)).body["data"]["k"] = "changed"
            assert (await c.transport.request("GET", path)).body["data"]["k"] == "1"

    async def test_many_writers_to_one_object_all_get_their_turn(self, tmp_path):
        async with client(tmp_path) as c:
            await c.create(kinds.CONFIG_MAP, config_map(), "default")
            async with anyio.create_task_group() as tasks:
                for i in range(50):
                    tasks.start_soon(c.patch, kinds.CONFIG_MAP, "a", "default", {"data": {f"k{i}": "v"}})
            assert len((await c.get(kinds.CONFIG_MAP, "a", "default")).data) == 50

    async def test_after_the_end_a_write_is_refused_and_does_not_hang(self, tmp_path):
        async with client(tmp_path) as c:
            pass
        with pytest.raises(errors.ApiError, match="is closed"):
            await c.create(kinds.CONFIG_MAP, config_map(), "default")


class TestWatch:
    async def test_a_watch_from_a_list_sees_every_later_change_in_order(self, tmp_path):
        async with client(tmp_path) as c:
            await c.create(kinds.CONFIG_MAP, config_map("before"), "default")
            items, version = await c.list(kinds.CONFIG_MAP, "default")
            await c.create(kinds.CONFIG_MAP, config_map("a", k="1"), "default")
            async with c.watch(kinds.CONFIG_MAP, "default", resource_version=version) as events:
                await c.patch(kinds.CONFIG_MAP, "a", "default", {"data": {"k": "2"}})
                await c.delete(kinds.CONFIG_MAP, "a", "default")
                seen = [await anext(events) for _ in range(3)]
        assert [i.metadata.name for i in items] == ["before"]
        assert [(e.type, e.object.data["k"]) for e in seen] == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]

    async def test_a_version_from_before_the_history_is_gone(self, tmp_path):
        async with client(tmp_path) as c:
            await c.create(kinds.CONFIG_MAP, config_map("a"), "default")
        async with client(tmp_path) as c:
            with pytest.raises(errors.Gone):
                async with c.watch(kinds.CONFIG_MAP, "default", resource_version="1"):
                    pass


class TestDeletion:
    async def test_dependents_go_with_their_owner(self, tmp_path):
        async with client(tmp_path) as c:
            owner = await c.create(kinds.DEPLOYMENT, deployment(), "default")
            reference = OwnerReference(api_version="apps/v1", kind="Deployment", name="d", uid=owner.metadata.uid)
            child = core.ConfigMap(metadata=ObjectMeta(name="child", namespace="default", owner_references=[reference]))
            await c.create(kinds.CONFIG_MAP, child, "default")
            _, version = await c.list(kinds.CONFIG_MAP, "default")
            async with c.watch(kinds.CONFIG_MAP, "default", resource_version=version) as events:
                await c.delete(kinds.DEPLOYMENT, "d", "default")
                assert (await anext(events)).type == "DELETED"

    async def test_a_pod_stays_until_the_node_has_stopped_it(self, tmp_path):
        async with client(tmp_path) as c:
            await c.create(kinds.POD, core.Pod(metadata=ObjectMeta(name="p", namespace="default")), "default")
            await c.delete(kinds.POD, "p", "default")
            assert (await c.get(kinds.POD, "p", "default")).metadata.deletion_timestamp
            await c.delete(kinds.POD, "p", "default", grace_seconds=0)
            with pytest.raises(errors.NotFound):
                await c.get(kinds.POD, "p", "default")


class TestRestart:
    async def test_durable_objects_are_there_again_and_versions_go_on(self, tmp_path):
        async with client(tmp_path) as c:
            made = await c.create(kinds.SERVICE, service(), "default")
            await c.create(kinds.POD, core.Pod(metadata=ObjectMeta(name="p", namespace="default")), "default")
            last = (await c.create(kinds.CONFIG_MAP, config_map(), "default")).metadata.resource_version
        async with client(tmp_path) as c:
            assert await c.get(kinds.SERVICE, "s", "default") == made
            assert (await c.list(kinds.POD))[0] == []
            assert int((await c.list(kinds.POD))[1]) > int(last)


def service() -> serving.Service:
    body = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}
    from kfn.api.base import decode

    return decode(serving.Service, body)
