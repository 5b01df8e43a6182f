"""Fixtures of the tests that need a cluster with kfn on it. Without a cluster they skip, and say how to get one."""

import pytest

from tests.cluster import platform as platforms
from tests.cluster.platform import Platform


@pytest.fixture(scope="session")
def platform() -> Platform:
    """kfn of this checkout, installed and ready. It stays installed after the tests, for the next ones."""
    if why := platforms.unfit():
        pytest.skip(why)
    return platforms.up()
