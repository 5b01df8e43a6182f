"""Digests on a real cluster: asked for with a pod's own pull secrets, once a Revision, of a registry that may be gone afterwards."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import faults, lifecycle
from tests.cluster.layout import Layout, cluster_name
from tests.cluster.platform import HANDLER, Platform
from tests.cluster.shell import until
from tests.cluster.spaces import Space, space
from tests.peers.registry import PASSWORD, USER, registry

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(platform: Platform) -> Iterator[Layout]:
    """Ours: its nodes have to be told that a registry of the test has no TLS, and so has kfn. New pods go to the first node: what it has
    pulled is there when the registry is not."""
    ours = lifecycle.existing(cluster_name())
    if ours is None or str(ours.folder) not in platform.kubeconfig:
        pytest.skip("a registry of the test can only be made known to the nodes of a cluster of tests.cluster")
    platform.upgrade(**{"digestResolution.plainHttp": [platform.registry, ours.gateway], "digestResolution.timeoutSeconds": 3})
    with ExitStack() as others:
        for node in ours.all_nodes()[1:]:
            others.enter_context(faults.cordoned(ours, node))
        yield ours
    platform.upgrade()


def trusted(cluster: Layout, host: str) -> None:
    hosts = cluster.node(1).folder / "registries" / host / "hosts.toml"
    hosts.parent.mkdir(parents=True, exist_ok=True)
    hosts.write_text(f'server = "http://{host}"\n\n[host."http://{host}"]\n  capabilities = ["pull", "resolve"]\n')


def push(platform: Platform, folder: Path, host: str, answer: str) -> str:
    """A function that answers so, as HOST/private/app:1. Returns its digest."""
    source = folder / answer
    source.mkdir()
    (source / "func.py").write_text(HANDLER.format(answer=answer))
    logins = folder / "logins.json"
    logins.write_text(json.dumps({"auths": {host: {"username": USER, "password": PASSWORD}}}))
    tag = ("-t", f"{host}/private/app:1", "--push", "--plain-http", host, "--registry-auth", str(logins))
    made = platform.kfn("build", str(source), "--name", "app", *tag, "--no-profile", "-q", "-o", "json")
    return str(json.loads(made.stdout)["image"]).partition("@")[2]


def login(there: Space, host: str) -> None:
    given = (f"--docker-server={host}", f"--docker-username={USER}", f"--docker-password={PASSWORD}")
    there.kubectl("create", "secret", "docker-registry", "private", *given)


def digest(there: Space, revision: str) -> str:
    statuses: list[dict[str, Any]] = there.get("revision.serving.knative.dev", revision)["status"]["containerStatuses"]
    return str(statuses[0]["imageDigest"])


def body(there: Space, name: str) -> str:
    return there.platform.request(f"{name}.{there.name}.{there.platform.domain}").text


class TestAPrivateRegistry:
    async def test_is_asked_once_with_the_accounts_login_and_may_then_go(self, platform: Platform, cluster: Layout, tmp_path: Path) -> None:
        with space(platform) as there:
            async with registry(tmp_path, auth="basic", address=cluster.gateway) as reg:
                trusted(cluster, reg.host)
                image = f"{reg.host}/private/app:1"
                first = await asyncio.to_thread(push, platform, tmp_path, reg.host, "one")
                there.function("app", image)
                there.says("app", "False", "RevisionFailed", "Unable to fetch image.*does not let this user pull.*imagePullSecrets")
                assert PASSWORD not in there.said("app").message
                login(there, reg.host)
                there.kubectl("patch", "serviceaccount", "default", "-p", '{"imagePullSecrets":[{"name":"private"}]}')
                there.ready("app")
                assert digest(there, "app-00001") == f"{reg.host}/private/app@{first}"
                assert body(there, "app") == "one"
                second = await asyncio.to_thread(push, platform, tmp_path, reg.host, "two")
                assert second != first
                there.kubectl("delete", "pod", "--all", "--wait=false")
                until(lambda: body(there, "app") == "one", lambda: "the tag was followed")
            asked = len(reg.requests())
            there.kubectl("delete", "deployment", "app-00001-deployment")
            until(lambda: there.items("deployments"), lambda: "the Deployment was not made again")
            there.ready("app")
            assert body(there, "app") == "one"
            assert len(reg.requests()) == asked
            there.function("app", image, env=[{"name": "A", "value": "new revision"}])
            there.says("app", "False", "RevisionFailed", "Unable to fetch image", within=90)
            assert body(there, "app") == "one"

    async def test_is_asked_with_the_pods_own_login(self, platform: Platform, cluster: Layout, tmp_path: Path) -> None:
        with space(platform) as there:
            async with registry(tmp_path, auth="basic", address=cluster.gateway) as reg:
                trusted(cluster, reg.host)
                pushed = await asyncio.to_thread(push, platform, tmp_path, reg.host, "mine")
                login(there, reg.host)
                there.function("own", f"{reg.host}/private/app:1", pod={"imagePullSecrets": [{"name": "private"}]})
                there.ready("own")
                assert digest(there, "own-00001") == f"{reg.host}/private/app@{pushed}"
                assert body(there, "own") == "mine"


class TestATagThatIsPushedLater:
    def test_is_found_without_anybodys_help(self, platform: Platform, tmp_path: Path) -> None:
        with space(platform) as there:
            tag = f"{platform.registry}/test/{there.name}:1"
            there.function("later", tag)
            there.says("later", "False", "RevisionFailed", "Unable to fetch image")
            (tmp_path / "func.py").write_text(HANDLER.format(answer="at last"))
            platform.kfn("build", str(tmp_path), "--name", "later", "-t", tag, "--push", "--no-profile", "-q")
            there.ready("later")
            assert body(there, "later") == "at last"
