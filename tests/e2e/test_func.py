"""Knative's client for functions, `func`, against the embedded platform: what its users do, unchanged, with an image of kfn's builder."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import function, running
from tests.peers import func_sessions, knative

FUNC = knative.found("func")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        not FUNC, reason="func, Knative's client, is neither on the PATH nor in kfn's cache: python -m tests.cluster.published func"
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="func asks functions by name, and only root can give it a hosts file of its own"),
]


@asynccontextmanager
async def stage(tmp_path: Path) -> AsyncIterator[tuple[knative.Command, str]]:
    async with running(tmp_path / "data") as platform:
        image = (await platform.kfn("build", str(function(tmp_path / "f", func_sessions.SOURCE)))).last_line
        func = knative.on(platform, FUNC)
        func.address = "127.0.0.1"
        yield func, image


class TestFuncOnOneMachine:
    async def test_a_function_is_created_deployed_invoked_changed_and_deleted(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as (func, image):
            await func_sessions.whole_life(func, image)

    @pytest.mark.parametrize(("language", "file"), func_sessions.TEMPLATES)
    async def test_a_project_of_its_template_is_made(self, tmp_path: Path, language: str, file: str) -> None:
        func = knative.Command(FUNC, {}, "default", "", "", tmp_path, knative.nothing)
        await func_sessions.create(func, language, file)
