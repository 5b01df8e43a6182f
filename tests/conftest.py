"""For every test: no task may be left behind, and no platform of the developer's is ever touched."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point kfn's state and kubeconfig at an empty folder; leave the cache where it is, for wheels are large."""
    home: Path = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("KUBECONFIG", str(home / "no-kubeconfig"))


@pytest_asyncio.fixture(autouse=True)
async def _no_task_left_behind() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = [t for t in asyncio.all_tasks() - before if not t.done() and t is not asyncio.current_task()]
    for task in left:
        task.cancel()
    assert not left, f"the test left tasks running: {left}"
