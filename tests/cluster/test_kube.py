"""kfn's own client against a real API server: what the embedded one and the fakes only imitate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from msgspec.structs import replace

from kfn import clock
from kfn.api import kinds, names
from kfn.api.core import ConfigMap, Endpoint, EndpointPort, EndpointSlice, Lease, LeaseSpec
from kfn.api.meta import ObjectMeta, OwnerReference
from kfn.kube import client as kube
from kfn.kube import config, errors
from kfn.kube.client import Client
from kfn.kube.fence import Fenced
from kfn.kube.http import HttpTransport
from kfn.kube.informer import Informer
from kfn.kube.lease import Elector, Terms
from kfn.kube.recorder import Recorder
from tests.cluster.kube import PATIENCE, Cluster, Namespace

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@asynccontextmanager
async def connected(cluster: Cluster) -> AsyncIterator[Client]:
    transport = HttpTransport(config.load(str(cluster.kubeconfig)))
    try:
        yield Client(transport)
    finally:
        await transport.aclose()


def config_map(name: str, **meta: object) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, **meta), data={"a": "b"})  # type: ignore[arg-type]


def a_deployment(name: str) -> dict[str, object]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "no.such.host/image"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {names.REVISION: name}}, "spec": spec}


class TestWrites:
    async def test_a_scale_is_written_through_its_subresource(self, cluster: Cluster, namespace: Namespace) -> None:
        async with connected(cluster) as client:
            await client.create(kinds.DEPLOYMENT, a_deployment("d"), namespace.name)
            await client.scale(kinds.DEPLOYMENT, "d", namespace.name, 1)
            assert (await client.get(kinds.DEPLOYMENT, "d", namespace.name)).spec.replicas == 1
            await client.scale(kinds.DEPLOYMENT, "d", namespace.name, 0)

    async def test_server_side_apply_makes_and_changes_an_object(self, cluster: Cluster, namespace: Namespace) -> None:
        async with connected(cluster) as client:
            for value in ("1", "2"):
                body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"is": value}}
                query = {"fieldManager": "kfn", "force": "true"}
                done = await client.patch(kinds.CONFIG_MAP, "applied", namespace.name, body, type=kube.APPLY, query=query)
                assert done.data == {"is": value}

    async def test_an_old_version_is_a_conflict_and_a_name_that_is_taken_is_told_apart(
        self, cluster: Cluster, namespace: Namespace
    ) -> None:
        async with connected(cluster) as client:
            old = await client.create(kinds.CONFIG_MAP, config_map("c"), namespace.name)
            await client.update(kinds.CONFIG_MAP, replace(old, data={"a": "c"}))
            with pytest.raises(errors.Conflict):
                await client.update(kinds.CONFIG_MAP, replace(old, data={"a": "d"}))
            with pytest.raises(errors.AlreadyExists):
                await client.create(kinds.CONFIG_MAP, config_map("c"), namespace.name)

    async def test_what_has_taken_a_name_since_is_not_deleted(self, cluster: Cluster, namespace: Namespace) -> None:
        async with connected(cluster) as client:
            await client.create(kinds.CONFIG_MAP, config_map("c"), namespace.name)
            with pytest.raises(errors.Conflict):
                await client.delete(kinds.CONFIG_MAP, "c", namespace.name, uid="of-another")
            assert await client.get(kinds.CONFIG_MAP, "c", namespace.name)

    async def test_what_an_object_owns_goes_with_it(self, cluster: Cluster, namespace: Namespace) -> None:
        async with connected(cluster) as client:
            owner = await client.create(kinds.CONFIG_MAP, config_map("owner"), namespace.name)
            ref = OwnerReference("v1", "ConfigMap", "owner", owner.metadata.uid, controller=True, block_owner_deletion=True)
            await client.create(kinds.CONFIG_MAP, config_map("owned", owner_references=[ref]), namespace.name)
            await client.delete(kinds.CONFIG_MAP, "owner", namespace.name)
            with anyio.fail_after(PATIENCE):
                while namespace.run("get", "configmap", "owned", check=False).returncode == 0:
                    await anyio.sleep(0.2)

    async def test_an_endpoint_slice_of_a_service_without_a_selector(self, cluster: Cluster, namespace: Namespace) -> None:
        async with connected(cluster) as client:
            meta = ObjectMeta(name="s-leader", labels={"kubernetes.io/service-name": "s"})
            ends = [Endpoint(addresses=["10.1.2.3"])]
            wanted = EndpointSlice(metadata=meta, address_type="IPv4", endpoints=ends, ports=[EndpointPort("load", 8080, "TCP")])
            made = await client.create(kinds.ENDPOINT_SLICE, wanted, namespace.name)
            await client.update(kinds.ENDPOINT_SLICE, replace(made, endpoints=[]))
            assert (await client.get(kinds.ENDPOINT_SLICE, "s-leader", namespace.name)).endpoints == []

    async def test_events_are_shown_by_kubectl_and_counted(self, cluster: Cluster, namespace: Namespace) -> None:
        async with connected(cluster) as client:
            about = await client.create(kinds.CONFIG_MAP, config_map("c"), namespace.name)
            recorder = Recorder(client, "kfn-test")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(recorder.run)
                for _ in range(3):
                    recorder.say(about, "Warning", "ItFails", "for a reason")
                with anyio.fail_after(PATIENCE):
                    while not any(e["count"] == 3 for e in namespace.get("events")["items"]):
                        await anyio.sleep(0.2)
                tasks.cancel_scope.cancel()
            assert recorder.dropped == 0
        shown = namespace.run("describe", "configmap", "c").stdout
        assert "ItFails" in shown
        assert "for a reason" in shown


class TestLeases:
    async def test_times_have_the_form_that_kubernetes_takes(self, cluster: Cluster, namespace: Namespace) -> None:
        async with connected(cluster) as client:
            now = clock.micro_timestamp()
            spec = LeaseSpec(holder_identity="me", lease_duration_seconds=15, acquire_time=now, renew_time=now)
            made = await client.create(kinds.LEASE, Lease(metadata=ObjectMeta(name="l"), spec=spec), namespace.name)
            assert (made.spec.renew_time, made.spec.acquire_time) == (now, now)

    async def test_one_holds_it_and_lets_it_go_to_the_next(self, cluster: Cluster, namespace: Namespace) -> None:
        terms = Terms(duration=5, renew_deadline=4, retry=0.5)
        held: list[str] = []
        async with connected(cluster) as client:

            async def hold(who: str) -> None:
                elector = Elector(client, namespace.name, "l", who, terms)

                async def work() -> None:
                    fenced = Client(Fenced(client.transport, elector.holds))
                    await fenced.create(kinds.CONFIG_MAP, config_map(who), namespace.name)
                    held.append(who)
                    await anyio.sleep(8)  # longer than the lease

                await elector.lead(work)

            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(hold, "first")
                    tasks.start_soon(hold, "second")
            assert sorted(held) == ["first", "second"]
            lease = await client.get(kinds.LEASE, "l", namespace.name)
            assert lease.spec.holder_identity == ""
            assert lease.spec.lease_transitions == 1


class TestReads:
    async def test_a_list_in_pieces_is_whole(self, cluster: Cluster, namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
        async with connected(cluster) as client:
            for n in range(7):
                await client.create(kinds.CONFIG_MAP, config_map(f"c{n}"), namespace.name)
            asked: list[str] = []
            send = client.transport.request

            async def two(method: str, path: str, **more: object) -> object:
                query = {**more["query"], "limit": "2"}  # type: ignore[dict-item]
                asked.append(query.get("continue", ""))
                return await send(method, path, query=query)

            monkeypatch.setattr(client.transport, "request", lambda method, path, **more: two(method, path, query=more["query"]))
            items, version = await client.list(kinds.CONFIG_MAP, namespace.name)
            assert {f"c{n}" for n in range(7)} <= {item.metadata.name for item in items}
            assert len(asked) >= 4
            assert version.isdecimal()

    async def test_an_informer_sees_what_happens_and_keeps_no_managed_fields(self, cluster: Cluster, namespace: Namespace) -> None:
        async with connected(cluster) as client:
            informer = Informer(client, kinds.DEPLOYMENT, namespace=namespace.name, labels=names.REVISION)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(informer.run)
                await client.create(kinds.DEPLOYMENT, a_deployment("d"), namespace.name)
                other = a_deployment("other")
                other["metadata"] = {"name": "other"}
                await client.create(kinds.DEPLOYMENT, other, namespace.name)
                with anyio.fail_after(PATIENCE):
                    while (found := informer.get(namespace.name, "d")) is None or not found.status.observed_generation:
                        await anyio.sleep(0.1)
                assert found.metadata.managed_fields == []
                assert informer.get(namespace.name, "other") is None
                await client.delete(kinds.DEPLOYMENT, "d", namespace.name)
                with anyio.fail_after(PATIENCE):
                    while informer.get(namespace.name, "d") is not None:
                        await anyio.sleep(0.1)
                assert informer.stale == 0
                tasks.cancel_scope.cancel()
