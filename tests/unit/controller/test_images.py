"""Digests of a Revision's images: which are asked for, where they go, and what a failure to get one looks like."""

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from controller.revision import images
from controller.settings import Settings
from kfn.api import conditions, core, kinds
from kfn.api.meta import Condition, ObjectMeta
from kfn.api.serving import Revision, RevisionSpec
from kfn.digests import Unresolved
from tests.unit.controller.serving import Platform, a_service, platform

SHA = "sha256:" + "a" * 64
SKIP = Settings().registries_skipping_tag_resolving
HUB_IMAGE = "registry.example:5000/team/hello:latest"


class Registry:
    """Answers as it is told, and counts. `why` is what it says instead of a digest."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.configs: list[dict[str, Any]] = []
        self.why: Unresolved | None = None
        self.hangs = False

    async def __call__(self, image: str, docker_configs: Sequence[dict[str, Any]]) -> str:
        self.asked.append(image)
        self.configs = list(docker_configs)
        if self.hangs:
            await anyio.sleep_forever()
        if self.why is not None:
            raise self.why
        return SHA


class TestWhichImages:
    @pytest.mark.parametrize(
        ("image", "asked"),
        [
            ("hello", True),
            ("team/hello:1", True),
            ("registry.example/hello:1", True),
            ("registry.example:5000/hello", True),
            (f"registry.example/hello@{SHA}", False),
            ("kfn.local/default/hello:1", False),
            ("dev.local/hello", False),
            ("ko.local:5000/hello", False),
            ("localhost:5000/hello", False),
            ("localhost/hello", False),
            ("127.0.0.1:5000/hello", False),
            ("[::1]:5000/hello", False),
            ("localhost.example/hello", True),
        ],
    )
    def test_are_asked_for(self, image: str, asked: bool) -> None:
        there = Revision(spec=RevisionSpec(containers=[core.Container(name="c", image=image)]))
        assert images.open_names(there, {}, SKIP) == ((image,) if asked else ())

    @pytest.mark.parametrize(
        ("image", "digest"),
        [("hello", "hello@d"), ("a:5000/b", "a:5000/b@d"), ("a:5000/b:1", "a:5000/b@d"), ("b:latest", "b@d"), ("a/b/c:x", "a/b/c@d")],
    )
    def test_by_digest_they_have_no_tag(self, image: str, digest: str) -> None:
        assert images.at(image, "d") == digest

    def test_one_that_two_containers_have_is_asked_for_once(self) -> None:
        two = [core.Container(name=n, image="i") for n in ("a", "b")]
        there = Revision(spec=RevisionSpec(containers=two, init_containers=[core.Container(name="c", image="j")]))
        assert images.open_names(there, {}, SKIP) == ("i", "j")
        assert images.by_container(there, {"i": "d", "j": "e"}) == {"a": "i@d", "b": "i@d", "c": "j@e"}


class TestARevision:
    async def test_runs_the_digest_that_the_tag_meant_when_it_was_made(self) -> None:
        registry = Registry()
        async with platform(resolve=registry) as p:
            p.apply(a_service(image=HUB_IMAGE))
            await p.settles()
            assert _image(p) == f"registry.example:5000/team/hello@{SHA}"
            assert _digests(p) == [f"registry.example:5000/team/hello@{SHA}"]
            assert p.api.the(kinds.REVISION, "hello-00001").spec.containers[0].image == HUB_IMAGE
            p.cluster.works("hello-00001")
            await p.settles()
            assert p.ready().status == "True"
            assert registry.asked == [HUB_IMAGE]

    async def test_never_asks_again_once_it_is_known(self) -> None:
        registry = Registry()
        async with platform(resolve=registry) as p:
            p.apply(a_service(image=HUB_IMAGE))
            await p.settles()
            p.cluster.works("hello-00001")
            registry.why = Unresolved("the registry is down", lasting=False)
            p.api.remove(kinds.DEPLOYMENT, "hello-00001-deployment")
            await p.settles()
            assert _image(p) == f"registry.example:5000/team/hello@{SHA}"
            assert registry.asked == [HUB_IMAGE]

    async def test_of_an_older_kfn_keeps_its_pods_and_is_not_asked_for(self) -> None:
        async with platform() as p:
            p.apply(a_service(image=HUB_IMAGE))
            await p.settles()
            before = p.api.the(kinds.DEPLOYMENT, "hello-00001-deployment").spec.template
            registry = Registry()
            await p.restart(registry, Settings(pre_stop=9, secure_pod_defaults="Enabled"))
            await p.settles()
            assert registry.asked == []
            assert p.api.the(kinds.DEPLOYMENT, "hello-00001-deployment").spec.template == before

    async def test_waits_for_a_slow_registry_and_others_do_not_wait_for_it(self) -> None:
        registry = Registry()
        registry.hangs = True
        async with platform(resolve=registry) as p:
            for n in range(12):
                p.apply(a_service(f"slow{n}", image=HUB_IMAGE))
            p.apply(a_service())
            await p.settles()
            assert "hello-00001-deployment" in p.api.names(kinds.DEPLOYMENT)
            said = _healthy(p, "slow0-00001")
            assert (said.status, said.reason) == ("Unknown", "ResolvingDigests")
            assert "slow0-00001-deployment" not in p.api.names(kinds.DEPLOYMENT)


class TestAFailure:
    async def test_that_lasts_shows_at_once_in_knatives_words_and_heals(self) -> None:
        registry = Registry()
        registry.why = Unresolved("no such tag", lasting=True)
        async with platform(resolve=registry) as p:
            p.apply(a_service(image=HUB_IMAGE))
            await p.settles()
            said = _healthy(p)
            assert (said.status, said.reason) == ("False", "ContainerMissing")
            assert said.message == f'Unable to fetch image "{HUB_IMAGE}": no such tag'
            assert p.ready().status == "False"
            assert {c.status for c in p.service().status.conditions} == {"False"}
            assert p.api.names(kinds.DEPLOYMENT) == []
            registry.why = None
            for _ in range(6):
                await p.settles()
            p.cluster.works("hello-00001")
            await p.settles()
            assert p.ready().status == "True"

    async def test_that_may_pass_is_tried_again_before_it_counts(self) -> None:
        registry = Registry()
        registry.why = Unresolved("connection refused", lasting=False)
        async with platform(resolve=registry) as p:
            p.apply(a_service(image=HUB_IMAGE))
            await p.settles()
            assert (_healthy(p).status, _healthy(p).reason) == ("Unknown", "ResolvingDigests")
            assert "connection refused" in _healthy(p).message
            for _ in range(4):
                await p.settles()
            assert (_healthy(p).status, _healthy(p).reason) == ("False", "ContainerMissing")
            assert len(registry.asked) == 3

    async def test_is_asked_for_more_and_more_seldom(self) -> None:
        registry = Registry()
        registry.why = Unresolved("no", lasting=True)
        async with platform(resolve=registry) as p:
            p.apply(a_service(image=HUB_IMAGE))
            await anyio.sleep(3600)
            assert len(registry.asked) < 70
            assert len(p.api.writes) < 40, "the same words are not written again"

    async def test_of_time_is_told(self) -> None:
        registry = Registry()
        registry.hangs = True
        async with platform(Settings(resolve_timeout=2), resolve=registry) as p:
            p.apply(a_service(image=HUB_IMAGE))
            await anyio.sleep(30)
            assert "did not answer within 2 s" in _healthy(p).message


class TestPullSecrets:
    async def test_are_the_pods_own_or_else_its_accounts(self) -> None:
        registry = Registry()
        async with platform(resolve=registry) as p:
            p.api.put(kinds.SECRET, _secret("mine", ".dockerconfigjson", "eyJhdXRocyI6eyJhIjp7fX19"))
            p.api.put(kinds.SECRET, _secret("old", ".dockercfg", "eyJiIjp7fX0="))
            account = core.ServiceAccount(metadata=ObjectMeta(name="robot", namespace="default"), image_pull_secrets=[{"name": "old"}])
            p.api.put(kinds.SERVICE_ACCOUNT, account)
            p.apply(a_service(image=HUB_IMAGE, pod={"service_account_name": "robot"}))
            await p.settles()
            assert registry.configs == [{"b": {}}]
            secrets = [{"name": "mine"}, {"name": "is not there"}]
            p.apply(a_service(image=HUB_IMAGE, pod={"service_account_name": "robot", "image_pull_secrets": secrets}))
            await p.settles()
            assert registry.configs == [{"auths": {"a": {}}}]

    async def test_one_that_cannot_be_read_is_named_without_its_content(self) -> None:
        registry = Registry()
        async with platform(resolve=registry) as p:
            p.api.put(kinds.SECRET, _secret("mine", ".dockerconfigjson", "c2VjcmV0"))
            p.apply(a_service(image=HUB_IMAGE, pod={"image_pull_secrets": [{"name": "mine"}]}))
            await p.settles()
            assert 'the pull secret "mine" is not a JSON object' in _healthy(p).message
            assert registry.asked == []


def _secret(name: str, key: str, value: str) -> core.Secret:
    kind = {".dockerconfigjson": "kubernetes.io/dockerconfigjson", ".dockercfg": "kubernetes.io/dockercfg"}[key]
    return core.Secret(metadata=ObjectMeta(name=name, namespace="default"), type=kind, data={key: value})


def _image(p: Platform) -> str:
    return p.api.the(kinds.DEPLOYMENT, "hello-00001-deployment").spec.template.spec.containers[0].image


def _digests(p: Platform) -> list[str]:
    return [s.image_digest for s in p.api.the(kinds.REVISION, "hello-00001").status.container_statuses]


def _healthy(p: Platform, revision: str = "hello-00001") -> Condition:
    found = conditions.find(p.api.the(kinds.REVISION, revision).status.conditions, "ContainerHealthy")
    assert found is not None
    return found
