"""Knative's own command, `kn`, against the embedded platform: what its users do, unchanged. It comes from the PATH or from kfn's tools."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.harness import Platform, function, running
from tests.peers import kn_sessions, knative

KN = knative.found("kn")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not KN, reason="kn, Knative's client, is neither on the PATH nor in kfn/tools/kn-VERSION/ of the cache folder"),
]


@dataclass
class Stage:
    """`kn up` with `kn`, and an image that it can run."""

    kn: knative.Command
    image: str
    platform: Platform


@asynccontextmanager
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with running(tmp_path / "data") as platform:
        image = (await platform.kfn("build", str(function(tmp_path / "f", kn_sessions.SOURCE)))).last_line
        yield Stage(knative.on(platform, KN), image, platform)


class TestKnOnOneMachine:
    async def test_a_service_lives_its_whole_life(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as at:
            await kn_sessions.whole_life(at.kn, at.image)

    async def test_traffic_is_split_tagged_and_taken_back(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as at:
            await kn_sessions.traffic(at.kn, at.image)

    async def test_apply_makes_a_revision_only_of_a_change(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as at:
            await kn_sessions.apply(at.kn, at.image)

    async def test_what_is_exported_comes_back_by_apply(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as at:
            await kn_sessions.export_and_apply(at.kn, at.image)

    async def test_what_is_wrong_is_told_as_errors_that_kn_understands(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as at:
            await kn_sessions.errors(at.kn, at.image, "registry.example/nothing", "There is no such image")

    async def test_brokers_and_triggers(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as at:
            await kn_sessions.brokers(at.kn, at.image)

    async def test_channels_and_subscriptions(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as at:
            await kn_sessions.channels(at.kn, at.image)

    async def test_a_ping_source_is_made_shown_changed_and_deleted(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as at:
            await kn_sessions.ping(at.kn, at.image)

    async def test_workloads_are_bound_to_a_sink_and_run_for_one(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as at:
            await kn_sessions.bindings(at.kn, at.image)

    async def test_sources_of_changed_objects(self, tmp_path: Path) -> None:
        async with running(tmp_path / "data") as platform:
            await kn_sessions.apiserver(knative.on(platform, KN))

    async def test_a_cluster_local_service_is_reached_by_its_name_inside_and_by_no_other(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as at:
            await kn_sessions.cluster_local(at.kn, at.image)
            assert (await at.platform.request("hello.default.svc.cluster.local")).text.startswith("none hello-")
            await at.kn("service", "update", "hello", "--no-cluster-local")
            await at.kn("service", "update", "hello", "--annotation-service", "kfn.dev/hosts=*.shop.org")
            assert (await at.platform.request("a.shop.org")).text.startswith("none hello-")
            assert "has no name outside" in await at.kn.refused("service", "update", "hello", "--cluster-local")
