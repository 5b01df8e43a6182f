"""Knative's client for functions, `func`, against kfn on a cluster: the sessions of its users, as on `kfn up` (tests/e2e/test_func.py)."""

import os
from pathlib import Path

import pytest

from tests.cluster.platform import Platform
from tests.peers import func_sessions, knative

FUNC = knative.found("func")

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not FUNC, reason="func, Knative's client, is neither on the PATH nor in kfn's cache: python -m tests.cluster.published func"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="func asks functions by name, and only root can give it a hosts file of its own"),
]


@pytest.fixture(scope="module")
def image(platform: Platform) -> str:
    return platform.image(func_sessions.SOURCE, "func-session")


class TestFuncOnACluster:
    async def test_a_function_is_created_deployed_invoked_changed_and_deleted(self, platform: Platform, image: str, tmp_path: Path) -> None:
        async with knative.namespace_on(platform, "func-life"):
            await func_sessions.whole_life(knative.on_cluster(platform, FUNC, "func-life", tmp_path), image)

    async def test_an_image_is_deployed_by_its_tag(self, platform: Platform, image: str, tmp_path: Path) -> None:
        repository = image.partition("@")[0]
        tagged = f"{repository}:{knative.tag_of(image)}"
        async with knative.namespace_on(platform, "func-tag"):
            await func_sessions.tag(knative.on_cluster(platform, FUNC, "func-tag", tmp_path), tagged)
