"""The whole controller: a Service from its first apply to ready, failing, updated, split, rolled back and deleted."""

import anyio
import pytest
from msgspec.structs import replace

from controller import kept
from controller.settings import Settings
from kfn.api import conditions, core, kinds, names
from kfn.api.meta import ObjectMeta
from kfn.api.serving import TrafficTarget
from kfn.clock import timestamp
from kfn.kube import errors
from tests.fakes.kube import FakeApi
from tests.unit.controller.serving import a_service, platform, virtual_now


async def test_a_service_becomes_ready_when_an_instance_works() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        assert p.ready().status == "Unknown"
        assert p.api.names(kinds.REVISION) == ["hello-00001"]
        assert p.api.names(kinds.DEPLOYMENT) == ["hello-00001-deployment"]
        assert p.api.names(kinds.CORE_SERVICE) == ["hello", "hello-00001-private"]

        p.cluster.works("hello-00001")
        await p.settles()
        assert p.ready().status == "True"
        status = p.service().status
        assert status.url == "http://hello.default.localhost:8080"
        assert status.address and status.address.url == "http://hello.default.svc.cluster.local"
        assert status.latest_created_revision_name == status.latest_ready_revision_name == "hello-00001"
        assert status.traffic == [TrafficTarget(revision_name="hello-00001", latest_revision=True, percent=100)]
        revision = p.api.the(kinds.REVISION, "hello-00001")
        assert revision.metadata.labels[names.ROUTING_STATE] == "active"
        assert revision.metadata.annotations[names.ROUTES] == "hello"
        assert (revision.status.actual_replicas, revision.status.desired_replicas) == (1, 1)


async def test_nothing_is_written_once_everything_is_as_it_should_be() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.works("hello-00001")
        await p.settles()
        p.api.writes.clear()
        for kind in (kinds.SERVICE, kinds.CONFIGURATION, kinds.ROUTE):
            there = p.api.the(kind, "hello")
            p.api.put(kind, there)
        p.cluster.works("hello-00001")
        await p.settles()
        assert p.api.writes == []


async def test_a_deployment_is_made_of_few_writes() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.works("hello-00001")
        await p.settles()
        for w in p.api.writes:
            print(w)
        statuses = [path.split("/")[-3:-1] for _, path in p.api.writes if path.endswith("/status")]
        assert len(p.api.writes) <= 22, p.api.writes
        assert max(map(statuses.count, statuses)) <= 6, statuses


async def test_a_crash_at_start_shows_its_log_and_the_previous_revision_keeps_serving() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.works("hello-00001")
        await p.settles()
        p.apply(a_service(image="kfn.local/default/hello@sha256:2"))
        await p.settles()
        p.cluster.crashes("hello-00002", log="ModuleNotFoundError: No module named 'numpyy'")
        await p.settles()
        assert p.ready().status == "False"
        assert p.ready().reason == "RevisionFailed"
        assert "numpyy" in p.ready().message
        assert p.served() == {"hello-00001": 100}
        assert p.service().status.latest_ready_revision_name == "hello-00001"

        p.apply(a_service(image="kfn.local/default/hello@sha256:3"))
        await p.settles()
        p.cluster.works("hello-00003")
        await p.settles()
        assert p.ready().status == "True"
        assert p.served() == {"hello-00003": 100}
        assert p.api.the(kinds.REVISION, "hello-00002").metadata.labels[names.ROUTING_STATE] == "reserve"


async def test_a_first_crash_fails_the_route_too() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.crashes("hello-00001", code=3)
        await p.settles()
        said = {c.type: (c.status, c.reason) for c in p.service().status.conditions}
        assert said == {
            "Ready": ("False", "RevisionFailed"),
            "ConfigurationsReady": ("False", "RevisionFailed"),
            "RoutesReady": ("False", "RevisionMissing"),
        }
        healthy = conditions.find(p.api.the(kinds.REVISION, "hello-00001").status.conditions, "ContainerHealthy")
        assert healthy is not None and healthy.reason == "ExitCode3"


async def test_a_crash_that_heals_makes_the_service_ready() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.crashes("hello-00001")
        await p.settles()
        p.cluster.works("hello-00001")
        await p.settles()
        assert p.ready().status == "True"


async def test_a_process_that_never_listens_fails_after_a_bound_and_says_so() -> None:
    async with platform(Settings(initial_ready_timeout=30)) as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.is_silent("hello-00001")
        p.api.log_text["default", "hello-00001-pod"] = b"loading the model ...\n"
        await p.settles()
        assert p.ready().status == "Unknown"
        for _ in range(31):
            await p.settles()
        assert p.ready().status == "False"
        assert "nothing listens on port 8080" in p.ready().message
        assert "loading the model" in p.ready().message


async def test_scale_to_zero_leaves_the_service_ready_and_a_failing_wake_does_not() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.works("hello-00001")
        await p.settles()
        p.cluster.sleeps("hello-00001")
        await p.settles()
        assert p.ready().status == "True"
        active = conditions.find(p.api.the(kinds.REVISION, "hello-00001").status.conditions, "Active")
        assert active is not None and (active.status, active.reason, active.severity) == ("False", "NoTraffic", "Info")

        p.cluster.scale("hello-00001", 1)
        p.cluster.crashes("hello-00001", log="database is gone")
        await p.settles()
        assert p.ready().status == "False"
        p.cluster.sleeps("hello-00001")
        await p.settles()
        assert "database is gone" in p.ready().message
        p.cluster.scale("hello-00001", 1)
        p.cluster.works("hello-00001")
        await p.settles()
        assert p.ready().status == "True"


async def test_replicas_are_never_written_after_creation() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.scale("hello-00001", 7)
        p.apply(a_service(labels={"team": "a"}))
        await p.settles()
        assert p.api.the(kinds.DEPLOYMENT, "hello-00001-deployment").spec.replicas == 7
        assert p.api.the(kinds.ROUTE, "hello").metadata.labels["team"] == "a"
        assert p.api.names(kinds.REVISION) == ["hello-00001"]


async def test_traffic_is_split_tagged_and_rolled_back() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.works("hello-00001")
        split = [
            TrafficTarget(revision_name="hello-00001", latest_revision=False, percent=90, tag="blue"),
            TrafficTarget(latest_revision=True, percent=10),
        ]
        p.apply(a_service(image="kfn.local/default/hello@sha256:2", traffic=split))
        await p.settles()
        p.cluster.works("hello-00002")
        await p.settles()
        assert p.ready().status == "True"
        assert p.served() == {"hello-00001": 90, "hello-00002": 10}
        assert p.service().status.traffic[0].url == "http://blue-hello.default.localhost:8080"
        assert "blue-hello" in p.api.names(kinds.CORE_SERVICE)

        back = [TrafficTarget(revision_name="hello-00001", latest_revision=False, percent=100)]
        p.apply(a_service(image="kfn.local/default/hello@sha256:2", traffic=back))
        await p.settles()
        assert p.served() == {"hello-00001": 100}
        assert p.ready().status == "True"
        assert "blue-hello" not in p.api.names(kinds.CORE_SERVICE)
        assert p.api.names(kinds.REVISION) == ["hello-00001", "hello-00002"]
        assert p.api.the(kinds.REVISION, "hello-00002").metadata.labels[names.ROUTING_STATE] == "reserve"


async def test_deleting_the_service_takes_everything_with_it_and_it_can_come_back() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.api.remove(kinds.SERVICE, "hello")
        await p.settles()
        assert not any(p.api.names(k) for k in (kinds.CONFIGURATION, kinds.ROUTE, kinds.REVISION, kinds.DEPLOYMENT, kinds.CORE_SERVICE))
        p.apply(a_service())
        await p.settles()
        p.cluster.works("hello-00001")
        await p.settles()
        assert p.ready().status == "True"


@pytest.mark.parametrize("kind", [kinds.CONFIGURATION, kinds.ROUTE, kinds.DEPLOYMENT, kinds.CORE_SERVICE], ids=lambda k: k.qualified)
async def test_a_child_that_somebody_deletes_is_made_again(kind: kinds.Kind[object]) -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        before = p.api.names(kind)
        for name in before:
            p.api.remove(kind, name)
        await p.settles()
        assert p.api.names(kind) == before


async def test_a_users_own_configuration_of_the_same_name_is_left_alone() -> None:
    def prepare(api: FakeApi) -> None:
        api.put(kinds.DEPLOYMENT, core.Deployment(metadata=ObjectMeta(name="hello-00001-deployment", namespace="default")))

    async with platform(prepare=prepare) as p:
        p.apply(a_service())
        await p.settles()
        assert p.ready().status == "False"
        assert 'existing Deployment "hello-00001-deployment" that we do not own' in p.ready().message


async def test_a_revision_name_of_ones_own_is_used_and_must_be_free() -> None:
    async with platform() as p:
        p.apply(a_service(revision="hello-blue"))
        await p.settles()
        p.cluster.works("hello-blue")
        await p.settles()
        assert p.ready().status == "True"
        assert p.served() == {"hello-blue": 100}

        p.apply(a_service(revision="hello-blue", image="kfn.local/default/hello@sha256:2"))
        await p.settles()
        said = conditions.find(p.service().status.conditions, "RoutesReady")
        assert said is not None and said.reason == "RevisionNameTaken"
        assert p.served() == {"hello-blue": 100}


async def test_a_new_domain_at_restart_rewrites_the_urls() -> None:
    api: list[FakeApi] = []
    async with platform() as p:
        p.apply(a_service(traffic=[TrafficTarget(latest_revision=True, percent=100, tag="t")]))
        await p.settles()
        p.cluster.works("hello-00001")
        await p.settles()
        objects = [(k, o) for k in (kinds.SERVICE, kinds.CONFIGURATION, kinds.ROUTE, kinds.REVISION) for o in p.api.all(k)]
        objects += [(kinds.DEPLOYMENT, o) for o in p.api.all(kinds.DEPLOYMENT)]  # type: ignore[misc]

    def prepare(fresh: FakeApi) -> None:
        api.append(fresh)
        for kind, obj in objects:
            fresh.put(kind, obj)  # type: ignore[arg-type]

    async with platform(Settings(domain="localhost:9999"), prepare) as p:
        await p.settles()
        assert p.service().status.url == "http://hello.default.localhost:9999"
        assert p.service().status.traffic[0].url == "http://t-hello.default.localhost:9999"
        assert p.ready().status == "True"


async def test_conflicts_and_an_api_server_that_is_away_only_delay() -> None:
    async with platform() as p:
        calls = 0

        def unlucky(method: str, path: str) -> None:
            nonlocal calls
            calls += 1
            if method in ("POST", "PUT", "PATCH") and calls % 3:
                raise errors.Unreachable("no answer") if calls % 2 else errors.Conflict(409, "Conflict", "the object has been modified")

        p.api.before = unlucky
        p.apply(a_service())
        await anyio.sleep(300)  # retries are up to a minute apart
        p.cluster.works("hello-00001")
        await anyio.sleep(300)
        assert p.ready().status == "True"


async def test_a_good_update_never_shows_a_false_ready() -> None:
    """kn gives up when Ready is False for two seconds, and believes a True at once."""
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.works("hello-00001")
        await p.settles()
        p.apply(a_service(image="kfn.local/default/hello@sha256:2"))
        await p.settles()
        p.cluster.works("hello-00002")
        await p.settles()
        said = []
        for version in p.api.versions(kinds.SERVICE, "hello"):
            ready = conditions.find(version.status.conditions, "Ready")
            if ready is not None and version.status.observed_generation == version.metadata.generation:
                said.append((version.metadata.generation, ready.status))
        assert list(dict.fromkeys(said)) == [(1, "Unknown"), (1, "True"), (2, "Unknown"), (2, "True")]
        assert said == sorted(said, key=lambda s: (s[0], s[1] == "True"))


async def test_traffic_moves_only_to_a_revision_that_is_ready() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.works("hello-00001")
        await p.settles()
        p.apply(a_service(image="kfn.local/default/hello@sha256:2"))
        await p.settles()
        assert p.served() == {"hello-00001": 100}
        assert p.ready().status == "Unknown"


async def test_a_cluster_without_room_is_waited_for() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.has_no_room("hello-00001")
        await anyio.sleep(3600)
        assert (p.ready().status, p.ready().reason) == ("Unknown", "Unschedulable")
        assert "nvidia.com/gpu" in p.ready().message


async def test_an_image_that_is_not_there_is_told_at_once() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        p.cluster.waits("hello-00001", "ErrImagePull", "manifest unknown")
        await p.settles()
        assert p.ready().status == "False"
        assert "manifest unknown" in p.ready().message


async def test_a_revision_of_which_nothing_is_known_fails_at_the_progress_deadline() -> None:
    async with platform() as p:
        p.apply(a_service(annotations={names.PROGRESS_DEADLINE: "120s"}))
        await anyio.sleep(110)
        assert p.ready().status == "Unknown"
        await anyio.sleep(20)
        assert p.ready().status == "False"
        assert "progress deadline" in p.ready().message


async def test_a_service_may_start_asleep() -> None:
    async with platform() as p:
        p.apply(a_service(annotations={"autoscaling.knative.dev/initial-scale": "0"}))
        await p.settles()
        assert p.ready().status == "True"
        assert p.api.the(kinds.DEPLOYMENT, "hello-00001-deployment").spec.replicas == 0


async def test_old_revisions_are_collected_and_those_in_use_are_not() -> None:
    settings = Settings(min_non_active_revisions=1, retain_since_create_time=60, retain_since_last_active_time=60)
    async with platform(settings) as p:
        for n in range(1, 5):
            p.apply(a_service(image=f"kfn.local/default/hello@sha256:{n}"))
            await p.settles()
            p.cluster.works(f"hello-0000{n}")
            await p.settles()
        assert len(p.api.names(kinds.REVISION)) == 4
        await anyio.sleep(120)
        assert p.api.names(kinds.REVISION) == ["hello-00003", "hello-00004"]


@pytest.mark.parametrize("writes", range(0, 24, 3))
async def test_a_controller_that_dies_after_any_write_is_finished_by_the_next(writes: int) -> None:
    async with platform(dies_after=writes) as p:
        p.apply(a_service(traffic=[TrafficTarget(latest_revision=True, percent=100, tag="t")]))
        await p.settles()
        if p.api.names(kinds.DEPLOYMENT):
            p.cluster.works("hello-00001")
        await p.settles()
        await p.restart()
        await p.settles()
        p.cluster.works("hello-00001")
        await p.settles()
        assert p.ready().status == "True"
        assert p.served() == {"hello-00001": 100}
        assert p.api.names(kinds.REVISION) == ["hello-00001"]
        assert p.api.the(kinds.REVISION, "hello-00001").metadata.labels[names.ROUTING_STATE] == "active"
        assert p.api.names(kinds.CORE_SERVICE) == ["hello", "hello-00001-private", "t-hello"]


async def test_a_foreground_deletion_is_not_undone() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        there = p.service()
        p.api.put(kinds.SERVICE, replace(there, metadata=replace(there.metadata, deletion_timestamp="2026-01-01T00:00:00Z")))
        for kind in (kinds.CONFIGURATION, kinds.ROUTE):
            p.api.remove(kind, "hello")
        await p.settles()
        assert not p.api.names(kinds.CONFIGURATION) + p.api.names(kinds.ROUTE) + p.api.names(kinds.REVISION)


async def test_a_cluster_local_service_loses_and_regains_its_public_name() -> None:
    async with platform() as p:
        p.apply(a_service(labels={names.VISIBILITY: "cluster-local"}))
        await p.settles()
        assert p.service().status.url == "http://hello.default.svc.cluster.local"
        p.apply(a_service())
        await p.settles()
        assert p.service().status.url == "http://hello.default.localhost:8080"


AWAY = errors.ApiError(500, "InternalError", 'Internal error occurred: failed calling webhook "x": exceeded quota: only 3 of these')
QUOTA = errors.Forbidden(403, "Forbidden", "exceeded quota: only 3 of these")


@pytest.mark.parametrize("error", [QUOTA, AWAY], ids=["by-a-quota", "by-a-webhook-that-is-away"])
@pytest.mark.parametrize("refused", ["configurations", "routes", "revisions", "deployments", "/api/v1/namespaces/default/services"])
async def test_what_the_api_server_refuses_is_told_and_tried_again(refused: str, error: errors.ApiError) -> None:
    async with platform() as p:

        def picky(method: str, path: str) -> None:
            if method == "POST" and path.endswith(refused):
                raise error

        p.api.before = picky
        p.apply(a_service())
        await p.settles()
        assert p.ready().status == "False"
        assert "exceeded quota: only 3 of these" in p.ready().message
        p.api.before = None
        await anyio.sleep(120)
        p.cluster.works("hello-00001")
        await p.settles()
        assert p.ready().status == "True"


class TestANameThatIsTaken:
    """The local copies hold only what kfn made, so whose a name is shows when it is to be taken."""

    async def test_by_a_users_own_service_is_told_and_the_function_gets_it_when_it_is_free(self) -> None:
        def prepare(api: FakeApi) -> None:
            api.put(kinds.CORE_SERVICE, core.Service(metadata=ObjectMeta(name="hello", namespace="default")))

        async with platform(prepare=prepare) as p:
            p.apply(a_service())
            await p.settles()
            p.cluster.works("hello-00001")
            await p.settles()
            said = conditions.find(p.service().status.conditions, "RoutesReady")
            assert said is not None
            assert (said.status, said.reason) == ("False", "NotOwned")
            assert 'existing placeholder Service "hello" that we do not own' in said.message
            before = len(p.api.writes)
            await anyio.sleep(50)
            assert len(p.api.writes) == before
            p.api.remove(kinds.CORE_SERVICE, "hello")
            await anyio.sleep(61)
            assert p.ready().status == "True"

    async def test_of_a_revisions_service_is_told(self) -> None:
        name = "hello-00001-private"

        def prepare(api: FakeApi) -> None:
            api.put(kinds.CORE_SERVICE, core.Service(metadata=ObjectMeta(name=name, namespace="default")))

        async with platform(prepare=prepare) as p:
            p.apply(a_service())
            await p.settles()
            assert f'existing Service "{name}" that we do not own' in p.ready().message

    async def test_by_our_own_without_its_labels_is_made_good(self) -> None:
        async with platform() as p:
            p.apply(a_service())
            await p.settles()
            for kind, name in (
                (kinds.DEPLOYMENT, "hello-00001-deployment"),
                (kinds.CORE_SERVICE, "hello"),
                (kinds.CORE_SERVICE, "hello-00001-private"),
            ):
                there = p.api.the(kind, name)
                p.api.put(kind, replace(there, metadata=replace(there.metadata, labels={})))  # type: ignore[type-var]
            await anyio.sleep(2)
            p.apply(a_service(labels={"look": "again"}))
            await anyio.sleep(5)
            assert p.api.the(kinds.DEPLOYMENT, "hello-00001-deployment").metadata.labels[names.REVISION] == "hello-00001"
            assert p.api.the(kinds.CORE_SERVICE, "hello").metadata.labels[names.ROUTE] == "hello"
            assert p.api.the(kinds.CORE_SERVICE, "hello-00001-private").metadata.labels[names.REVISION] == "hello-00001"


class TestThePlaceholderService:
    async def test_has_the_routes_labels_and_annotations_but_not_its_visibility(self) -> None:
        async with platform() as p:
            service = a_service(labels={"team": "a", names.VISIBILITY: "cluster-local"})
            p.apply(replace(service, metadata=replace(service.metadata, annotations={names.CREATOR: "me", "note": "x"})))
            await p.settles()
            there = p.api.the(kinds.CORE_SERVICE, "hello")
            assert there.metadata.labels == {"team": "a", names.SERVICE: "hello", names.ROUTE: "hello"}
            assert there.metadata.annotations == {names.CREATOR: "me", "note": "x"}
            assert (there.spec.type, there.spec.external_name) == ("ExternalName", Settings().gateway_host)


class TestWhatTheCopiesKeep:
    async def test_is_enough_to_change_a_deployment_and_leaves_its_template_alone(self) -> None:
        async with platform() as p:
            p.apply(a_service())
            await p.settles()
            there = p.api.the(kinds.DEPLOYMENT, "hello-00001-deployment")
            p.api.put(kinds.DEPLOYMENT, replace(there, spec=replace(there.spec, revision_history_limit=5)))
            await p.settles()
            assert p.api.the(kinds.DEPLOYMENT, "hello-00001-deployment").spec == there.spec

    def test_has_no_managed_fields_and_of_pods_and_deployments_only_what_is_looked_at(self) -> None:
        meta = ObjectMeta(name="n", labels={"a": "b"}, managed_fields=[{"manager": "x"}])
        container = core.Container(
            "c", image="i", env=[core.EnvVar("A", "1")], resources=core.ResourceRequirements(limits={"memory": "1Gi"})
        )
        spec = core.PodSpec(containers=[container], volumes=[{"name": "v"}])
        pod = kept.pod(core.Pod(metadata=meta, spec=spec, status=core.PodStatus("Running")))
        assert pod.metadata == replace(meta, managed_fields=[])
        assert pod.spec == core.PodSpec(containers=[core.Container("c", image="i", resources=container.resources)])
        assert pod.status.phase == "Running"
        deployment = core.Deployment(metadata=meta, spec=core.DeploymentSpec(2, template=core.PodTemplateSpec(metadata=meta, spec=spec)))
        small = kept.deployment(deployment)
        assert small.spec.replicas == 2
        assert small.spec.template == core.PodTemplateSpec(spec=core.PodSpec(containers=[core.Container("c", image="i")]))


async def test_pods_that_a_quota_refuses_are_asked_for_again_with_few_writes() -> None:
    async with platform() as p:
        p.apply(a_service())
        await p.settles()
        there = p.api.the(kinds.DEPLOYMENT, "hello-00001-deployment")
        since = timestamp(virtual_now())
        refused = core.DeploymentCondition("ReplicaFailure", "True", "FailedCreate", "exceeded quota: q", last_transition_time=since)
        p.api.put(kinds.DEPLOYMENT, replace(there, status=core.DeploymentStatus(conditions=[refused])))
        await p.settles()
        assert "exceeded quota" in p.ready().message
        p.api.writes.clear()
        await anyio.sleep(100)
        assert p.api.writes == [("PATCH", kinds.DEPLOYMENT.path("default", "hello-00001-deployment"))] * 5
        p.api.put(kinds.DEPLOYMENT, replace(p.api.the(kinds.DEPLOYMENT, "hello-00001-deployment"), status=core.DeploymentStatus()))
        p.cluster.works("hello-00001")
        await p.settles()
        assert p.ready().status == "True"


class TestAWakingRevision:
    async def test_is_looked_at_once_its_start_is_over(self) -> None:
        """Nobody waits for its status, but somebody for the instance, on the same processors."""
        async with platform() as p:
            p.apply(a_service())
            await p.settles()
            p.cluster.works("hello-00001")
            await p.settles()
            p.cluster.sleeps("hello-00001")
            await p.settles()
            writes = len(p.api.writes)
            p.cluster.scale("hello-00001", 1)
            await anyio.sleep(0.2)
            p.cluster.works("hello-00001")
            await anyio.sleep(0.2)
            assert len(p.api.writes) == writes
            await p.settles()
            assert p.api.the(kinds.REVISION, "hello-00001").status.actual_replicas == 1
            assert len(p.api.writes) == writes + 1
