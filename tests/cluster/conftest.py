"""What tests on a real Kubernetes get: the cluster that KUBECONFIG and KFN_TEST_REGISTRY name, and a namespace for each test.

`make test-cluster` sets both, to its own cluster or to yours. A test here has the mark `cluster` and skips, with the reason, where none is.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import images, lifecycle, tools
from tests.cluster import platform as platforms
from tests.cluster.kube import PATIENCE, Cluster, Namespace
from tests.cluster.layout import Layout, cluster_name
from tests.cluster.platform import Platform
from tests.cluster.shell import wait_for

GIVEN = dict(os.environ)  # before each test gets an empty home of its own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(600))  # every wait in a test has a bound of its own; a full machine is slow


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    kubeconfig, registry = GIVEN.get("KUBECONFIG", ""), GIVEN.get("KFN_TEST_REGISTRY", "")
    if not kubeconfig:
        pytest.skip("KUBECONFIG names no cluster: make test-cluster starts one")
    if not registry:
        pytest.skip("KFN_TEST_REGISTRY is not set: HOST:PORT of a registry that this machine pushes to and the cluster's nodes pull from")
    kubectl = shutil.which("kubectl", path=GIVEN.get("PATH"))
    if not kubectl:
        pytest.skip("kubectl is not on the PATH")
    own = lifecycle.existing(cluster_name())
    known = own if own and own.kubeconfig == Path(kubeconfig) else None
    found = Cluster(Path(kubeconfig), registry, kubectl, known)
    wait_for(f"the cluster of {kubeconfig}", lambda: found.run("get", "--raw", "/readyz"), PATIENCE)
    return found


@pytest.fixture(scope="session")
def own_cluster(cluster: Cluster) -> Layout:
    """For tests that do harm."""
    if not cluster.own:
        pytest.skip("the cluster of KUBECONFIG is not one of tests.cluster: nothing is killed in it")
    return cluster.own


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    name = f"test-{secrets.token_hex(4)}"
    cluster.run("create", "namespace", name)
    made = Namespace(cluster, name)
    wait_for("its service account", lambda: made.get("serviceaccount", "default"), PATIENCE)
    yield made
    cluster.run("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def peer_image(cluster: Cluster) -> str:
    """In the registry: `peer serve`, `peer get URL`, `peer refuse WHY` (binaries/peer)."""
    peer = next(tool for tool in tools.CLUSTER if tool.name == "peer")
    tools.ensure((peer,))
    return images.push(cluster.registry, "kfn-test/peer", tools.folder_of(peer).name, tools.program("peer"), "serve")


@pytest.fixture(scope="session")
def platform() -> Platform:
    """kfn of this checkout, installed and ready. It stays installed after the tests, for the next ones."""
    if why := platforms.unfit():
        pytest.skip(why)
    return platforms.up()
