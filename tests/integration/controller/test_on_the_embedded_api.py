"""The controller on the real embedded API server: its admission, its garbage collection, its files."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from controller.app import Controller
from controller.settings import Settings
from embedded.api.app import open_server
from embedded.api.local import LocalTransport
from kfn.api import conditions, core, kinds, names
from kfn.api.meta import Condition, ObjectMeta
from kfn.api.serving import Service
from kfn.kube import errors
from kfn.kube.client import Client

IMAGE = "kfn.local/default/hello@sha256:" + "1" * 64


@asynccontextmanager
async def platform(state: Path, settings: Settings | None = None) -> AsyncIterator[Client]:
    async with open_server(state) as server, anyio.create_task_group() as tasks:
        client = Client(LocalTransport(server))
        tasks.start_soon(Controller(client, settings or Settings()).run)
        yield Client(LocalTransport(server, user="user"))
        tasks.cancel_scope.cancel()


async def eventually(holds: Callable[[], Any], seconds: float = 10) -> Any:
    """What `holds()` gives, once it is true."""
    with anyio.fail_after(seconds):
        while True:
            try:
                if found := await holds():
                    return found
            except errors.NotFound:
                pass
            await anyio.sleep(0.01)


def service(image: str = IMAGE, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "hello", "namespace": "default", "labels": {"team": "a"}},
        "spec": {"template": {"spec": {"containers": [{"image": image}]}}, **spec},
    }


async def ready(client: Client) -> Condition:
    """The Service's Ready as kn reads it: only when it belongs to the present generation and is decided."""

    async def decided() -> Condition | None:
        there = await client.get(kinds.SERVICE, "hello", "default")
        found = conditions.find(there.status.conditions, "Ready")
        return found if there.status.observed_generation == there.metadata.generation and found and found.status != "Unknown" else None

    found = await eventually(decided)
    assert isinstance(found, Condition)
    return found


async def pod(client: Client, revision: str, status: core.PodStatus) -> None:
    """Play the node: one pod of the revision's Deployment, in this state."""
    deployment = await eventually(lambda: client.get(kinds.DEPLOYMENT, names.deployment(revision), "default"))
    template = deployment.spec.template
    meta = ObjectMeta(name=f"{revision}-pod", namespace="default", labels=template.metadata.labels)
    try:
        there = await client.create(kinds.POD, core.Pod(metadata=meta, spec=template.spec), "default")
    except errors.AlreadyExists:
        there = await client.get(kinds.POD, f"{revision}-pod", "default")
    await client.update(kinds.POD, replace(there, status=status), subresource="status")


WORKS = core.PodStatus(phase="Running", conditions=[core.PodCondition("Ready", "True")])
CRASHES = core.PodStatus(
    phase="Running",
    container_statuses=[
        core.ContainerStatus(
            name="user-container",
            state=core.ContainerState(waiting=core.ContainerStateWaiting("CrashLoopBackOff")),
            last_state=core.ContainerState(terminated=core.ContainerStateTerminated(1, message="SyntaxError: invalid syntax")),
        )
    ],
)


async def test_a_service_becomes_ready_fails_on_a_bad_update_and_is_deleted_with_all_it_made(tmp_path: Path) -> None:
    async with platform(tmp_path / "state.db") as client:
        await client.create(kinds.SERVICE, service(), "default")
        await pod(client, "hello-00001", WORKS)
        assert (await ready(client)).status == "True"
        there = await client.get(kinds.SERVICE, "hello", "default")
        assert there.status.url == "http://hello.default.localhost:8080"
        assert there.status.traffic[0].revision_name == "hello-00001"
        revision = await client.get(kinds.REVISION, "hello-00001", "default")
        assert revision.metadata.annotations[names.CREATOR] == "user"
        assert revision.metadata.labels[names.CONFIGURATION_GENERATION] == "1"
        assert revision.status.container_statuses[0].image_digest == IMAGE

        changed = service(image=IMAGE.replace("1" * 64, "2" * 64))
        await client.patch(kinds.SERVICE, "hello", "default", {"spec": changed["spec"]})
        await pod(client, "hello-00002", CRASHES)
        said = await ready(client)
        assert (said.status, said.reason) == ("False", "RevisionFailed")
        assert "SyntaxError: invalid syntax" in said.message
        assert (await client.get(kinds.ROUTE, "hello", "default")).status.traffic[0].revision_name == "hello-00001"

        await client.delete(kinds.SERVICE, "hello", "default")
        for kind in (kinds.CONFIGURATION, kinds.ROUTE, kinds.REVISION, kinds.DEPLOYMENT, kinds.CORE_SERVICE):
            await eventually(lambda kind=kind: _none(client, kind))  # type: ignore[misc]


async def test_an_unchanged_put_makes_no_new_revision_and_no_write(tmp_path: Path) -> None:
    async with platform(tmp_path / "state.db") as client:
        await client.create(kinds.SERVICE, service(), "default")
        await pod(client, "hello-00001", WORKS)
        assert (await ready(client)).status == "True"
        await anyio.sleep(0.2)
        before = await _versions(client)
        there = await client.get(kinds.SERVICE, "hello", "default")
        assert isinstance(there, Service)
        await client.update(kinds.SERVICE, there)
        await client.patch(kinds.SERVICE, "hello", "default", {"metadata": {"annotations": {"note": "x"}}})
        await anyio.sleep(0.3)
        after = await _versions(client)
        assert after["revisions.serving.knative.dev"] == before["revisions.serving.knative.dev"]
        assert after["deployments.apps"] == before["deployments.apps"]
        configuration = await client.get(kinds.CONFIGURATION, "hello", "default")
        assert (configuration.metadata.generation, configuration.metadata.annotations["note"]) == (1, "x")


async def test_after_a_restart_work_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with open_server(tmp_path / "state.db") as server:
        await Client(LocalTransport(server, user="user")).create(kinds.SERVICE, service(), "default")
    async with platform(tmp_path / "state.db") as client:
        await pod(client, "hello-00001", WORKS)
        assert (await ready(client)).status == "True"
    async with platform(tmp_path / "state.db", Settings(domain="localhost:9999")) as client:

        async def moved() -> bool:
            return (await client.get(kinds.SERVICE, "hello", "default")).status.url == "http://hello.default.localhost:9999"

        await eventually(moved)
        assert (await ready(client)).status == "True"


async def test_a_revision_name_of_ones_own_survives_the_servers_defaults(tmp_path: Path) -> None:
    """What comes back from admission must still count as the template that was sent, or it would look taken."""
    async with platform(tmp_path / "state.db") as client:
        body = service(traffic=[{"revisionName": "hello-blue", "percent": 100, "tag": "blue"}])
        body["spec"]["template"]["metadata"] = {"name": "hello-blue"}
        container = body["spec"]["template"]["spec"]["containers"][0]
        container |= {
            "livenessProbe": {"httpGet": {"path": "/health"}},
            "resources": {"limits": {"cpu": "0.5", "memory": "1Gi"}},
            "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
            "env": [{"name": "EMPTY"}, {"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        }
        body["spec"]["template"]["spec"]["volumes"] = [{"name": "scratch", "emptyDir": {}}]
        await client.create(kinds.SERVICE, body, "default")
        await pod(client, "hello-blue", WORKS)
        assert (await ready(client)).status == "True"
        there = await client.get(kinds.SERVICE, "hello", "default")
        assert there.status.traffic[0].url == "http://blue-hello.default.localhost:8080"
        await anyio.sleep(0.2)
        before = await _versions(client)
        await client.patch(kinds.REVISION, "hello-blue", "default", {"metadata": {"annotations": {"look": "again"}}})
        await anyio.sleep(0.3)
        after = await _versions(client)
        assert {k: v for k, v in after.items() if "revisions" not in k and "deployments" not in k} == {
            k: v for k, v in before.items() if "revisions" not in k and "deployments" not in k
        }
        deployment = await client.get(kinds.DEPLOYMENT, "hello-blue-deployment", "default")
        assert deployment.metadata.generation == 1, "a note on a Revision must not replace its instances"


async def test_a_foreground_deletion_ends_with_nothing_left(tmp_path: Path) -> None:
    """kn deletes like this, and waits."""
    async with platform(tmp_path / "state.db") as client:
        await client.create(kinds.SERVICE, service(), "default")
        await pod(client, "hello-00001", WORKS)
        assert (await ready(client)).status == "True"
        await client.delete(kinds.SERVICE, "hello", "default", propagation="Foreground")
        for kind in (kinds.SERVICE, kinds.CONFIGURATION, kinds.ROUTE, kinds.REVISION, kinds.DEPLOYMENT, kinds.CORE_SERVICE):
            await eventually(lambda kind=kind: _none(client, kind))  # type: ignore[misc]
        await client.create(kinds.SERVICE, service(), "default")
        await eventually(lambda: client.get(kinds.DEPLOYMENT, "hello-00001-deployment", "default"))


@pytest.mark.parametrize("count", [20])
async def test_many_services_at_once_all_become_ready(tmp_path: Path, count: int) -> None:
    async with platform(tmp_path / "state.db") as client:
        for n in range(count):
            body = service()
            body["metadata"]["name"] = f"f{n}"
            await client.create(kinds.SERVICE, body, "default")
        for n in range(count):
            await pod(client, f"f{n}-00001", WORKS)

        async def all_ready() -> bool:
            services, _ = await client.list(kinds.SERVICE, "default")
            return all(conditions.is_true(s.status.conditions, "Ready") for s in services)

        await eventually(all_ready, 20)


async def _none(client: Client, kind: kinds.Kind[Any]) -> bool:
    return not (await client.list(kind, "default"))[0]


async def _versions(client: Client) -> dict[str, list[str]]:
    watched = (kinds.CONFIGURATION, kinds.ROUTE, kinds.REVISION, kinds.DEPLOYMENT, kinds.CORE_SERVICE)
    return {k.qualified: [o.metadata.resource_version for o in (await client.list(k, "default"))[0]] for k in watched}
