"""Knative's own command, `kn`, against kfn on a cluster: the sessions of its users, unchanged, as on `kfn up` (tests/e2e/test_kn.py)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cluster.platform import Platform
from tests.peers import kn_sessions, knative

KN = knative.found("kn")

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not KN, reason="kn, Knative's client, is neither on the PATH nor in kfn/tools/kn-VERSION/: python -m tests.cluster tools kn"
    ),
]


@pytest.fixture(scope="module")
def image(platform: Platform) -> str:
    return platform.image(kn_sessions.SOURCE, "kn-session")


@asynccontextmanager
async def using(platform: Platform, home: Path, namespace: str) -> AsyncIterator[knative.Command]:
    async with knative.namespace_on(platform, namespace):
        yield knative.on_cluster(platform, KN, namespace, home)


class TestKnOnACluster:
    async def test_a_service_lives_its_whole_life(self, platform: Platform, image: str, tmp_path: Path) -> None:
        async with using(platform, tmp_path, "kn-life") as kn:
            await kn_sessions.whole_life(kn, image)

    async def test_traffic_is_split_tagged_and_taken_back(self, platform: Platform, image: str, tmp_path: Path) -> None:
        async with using(platform, tmp_path, "kn-traffic") as kn:
            await kn_sessions.traffic(kn, image)

    async def test_apply_makes_a_revision_only_of_a_change(self, platform: Platform, image: str, tmp_path: Path) -> None:
        async with using(platform, tmp_path, "kn-apply") as kn:
            await kn_sessions.apply(kn, image)

    async def test_what_is_exported_comes_back_by_apply(self, platform: Platform, image: str, tmp_path: Path) -> None:
        async with using(platform, tmp_path, "kn-export") as kn:
            await kn_sessions.export_and_apply(kn, image)

    async def test_what_is_wrong_is_told_as_errors_that_kn_understands(self, platform: Platform, image: str, tmp_path: Path) -> None:
        async with using(platform, tmp_path, "kn-errors") as kn:
            await kn_sessions.errors(kn, image, f"{platform.registry}/test/nothing:1", "test/nothing")

    async def test_brokers_and_triggers(self, platform: Platform, image: str, tmp_path: Path) -> None:
        async with using(platform, tmp_path, "kn-broker") as kn:
            await kn_sessions.brokers(kn, image)

    async def test_a_ping_source_is_made_shown_changed_and_deleted(self, platform: Platform, image: str, tmp_path: Path) -> None:
        async with using(platform, tmp_path, "kn-ping") as kn:
            await kn_sessions.ping(kn, image)

    async def test_a_cluster_local_service_has_no_name_outside(self, platform: Platform, image: str, tmp_path: Path) -> None:
        async with using(platform, tmp_path, "kn-local") as kn:
            await kn_sessions.cluster_local(kn, image)
