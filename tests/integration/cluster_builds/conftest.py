"""A folder that the runner's user may go through."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.cluster_builds import stage


@pytest.fixture
def folder() -> Iterator[Path]:
    """pytest's own temporary folders are closed to everybody else."""
    made = Path(tempfile.mkdtemp(prefix="kfn-builds-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The host of a registry that takes requests and never answers."""
    async with stage.silence() as host:
        yield host
