"""Knative's own command, `kn`, against the embedded platform: what its users do, unchanged. It comes from the PATH or from kfn's tools."""

import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import Platform, Result, eventually, function, run, running

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kfn" / "tools"
KN = shutil.which("kn") or next((str(p) for p in sorted(_CACHE.glob("kn-*/kn"), reverse=True) if os.access(p, os.X_OK)), "")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not KN, reason="kn, Knative's client, is neither on the PATH nor in kfn/tools/kn-VERSION/ of the cache folder"),
]

SOURCE = "import os\ndef handle(request):\n    return os.environ.get('WORD', 'none') + ' ' + os.environ['K_REVISION']\n"


class Kn:
    """`kn` with a platform and an image that it can run."""

    def __init__(self, platform: Platform, image: str) -> None:
        self.platform = platform
        self.image = image

    async def __call__(self, *args: str, check: bool = True) -> Result:
        home = self.platform.data.parent / "home"  # so that nobody's kn settings count
        env = {**os.environ, "KUBECONFIG": str(self.platform.data / "kubeconfig"), "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
        result = await run(KN, *args, env=env, timeout=30)
        assert not check or result.code == 0, f"kn {' '.join(args)}: {result.out}\n{result.err}\n{self.platform.log[-2000:]}"
        return result

    async def refused(self, *args: str) -> str:
        result = await self(*args, check=False)
        assert result.code == 1, result.out
        return result.err

    async def json(self, *args: str) -> dict[str, object]:
        found: dict[str, object] = json.loads((await self(*args, "-o", "json")).out)
        return found

    async def text(self, host: str) -> str:
        return (await self.platform.request(f"{host}.default.localhost")).text


@asynccontextmanager
async def kn_with_image(tmp_path: Path) -> AsyncIterator[Kn]:
    async with running(tmp_path / "data") as platform:
        image = (await platform.kfn("build", str(function(tmp_path / "f", SOURCE)))).last_line
        yield Kn(platform, image)


async def test_a_service_lives_its_whole_life(tmp_path: Path) -> None:
    async with kn_with_image(tmp_path) as kn:
        created = await kn("service", "create", "hello", "--image", kn.image, "--env", "WORD=one")
        assert "Ready to serve." in created.out
        assert "created to latest revision 'hello-00001'" in created.out
        assert await kn.text("hello") == "one hello-00001"
        assert "already exists and no --force" in await kn.refused("service", "create", "hello", "--image", kn.image)

        updated = await kn("service", "update", "hello", "--env", "WORD=two", "--scale", "0..3", "--concurrency-limit", "4")
        assert "updated to latest revision 'hello-00002'" in updated.out
        same = await kn(
            "service", "update", "hello", "--annotation-service", "team=web"
        )  # with --env, kn stamps the template with the second
        assert "No new revision has been created" in same.out, "defaulting an object twice changes nothing"
        replaced = await kn("service", "create", "hello", "--image", kn.image, "--env", "WORD=three", "--force")
        assert "replaced to latest revision 'hello-00003'" in replaced.out
        assert await kn.text("hello") == "three hello-00003"

        listed = (await kn("service", "list")).out.splitlines()
        assert listed[1].split()[2:] == ["hello-00003", listed[1].split()[3], "3", "OK", "/", "3", "True"]
        described = (await kn("service", "describe", "hello", "-v")).out
        for words in (
            "100%  @latest (hello-00003) [3]",
            "hello-00002 [2]",
            "Cluster:      http://hello.default.svc.cluster.local",
            "++ Ready",
        ):
            assert words in described
        exported = (await kn("service", "export", "hello", "--with-revisions", "--mode=export", "-o", "yaml")).out
        assert "kind: Export" in exported

        assert "deleted" in (await kn("service", "delete", "hello", "--wait")).out
        assert "No services found" in (await kn("service", "list")).out
        assert 'services.serving.knative.dev "hello" not found' in await kn.refused("service", "delete", "hello")


async def test_traffic_is_split_tagged_and_taken_back(tmp_path: Path) -> None:
    async with kn_with_image(tmp_path) as kn:
        await kn("service", "create", "web", "--image", kn.image, "--revision-name", "v1")
        await kn("service", "update", "web", "--env", "WORD=new", "--revision-name", "v2")
        await kn("service", "update", "web", "--traffic", "web-v1=100", "--tag", "@latest=next,web-v1=old")
        assert await kn.text("web") == "none web-v1"
        assert await kn.text("next-web") == "new web-v2"
        await kn("service", "update", "web", "--untag", "old", "--traffic", "@latest=40", "--traffic", "web-v1=60")
        split = (await kn("route", "describe", "web")).out
        assert "40%  @latest (web-v2) #next" in split
        assert "60%  web-v1" in split
        assert "#old" not in split
        await kn("service", "update", "web", "--untag", "next", "--traffic", "@latest=100")
        assert await kn.text("web") == "new web-v2"

        revisions = (await kn("revision", "list", "-s", "web")).out.splitlines()
        assert [r.split()[0] for r in revisions[1:]] == ["web-v2", "web-v1"]
        assert "Latest Ready:              true" in (await kn("revision", "describe", "web-v2", "-v")).out
        assert "Revision 'web-v1' deleted" in (await kn("revision", "delete", "--prune", "web")).out
        assert len((await kn("revision", "list")).out.splitlines()) == 2
        missing = await kn.refused("service", "update", "web", "--traffic", "web-v9=100")
        assert "RevisionMissing" in missing
        assert await kn.text("web") == "new web-v2", "traffic that cannot be resolved moves nothing"


async def test_apply_makes_a_revision_only_of_a_change(tmp_path: Path) -> None:
    async with kn_with_image(tmp_path) as kn:
        first = ("service", "apply", "app", "--image", kn.image, "--env", "WORD=a")
        assert "created to latest revision 'app-00001'" in (await kn(*first)).out
        assert "No changes to apply" in (await kn(*first)).out
        changed = await kn("service", "apply", "app", "--image", kn.image, "--env", "WORD=b")
        assert "applied to latest revision 'app-00002'" in changed.out


async def test_what_is_wrong_is_told_as_errors_that_kn_understands(tmp_path: Path) -> None:
    async with kn_with_image(tmp_path) as kn:
        nothing = await kn.refused("service", "create", "bad", "--image", "registry.example/nothing", "--wait-timeout", "10")
        assert "RevisionFailed" in nothing
        assert "There is no such image" in nothing
        port = await kn.refused("service", "create", "other", "--image", kn.image, "--port", "70000")
        assert "spec.template.spec.containers[0].ports[0].containerPort: 70000 is not a port" in port
        assert "not found" in await kn.refused("service", "create", "other", "--image", kn.image, "-n", "nowhere")
        for kind, api in (("channel", "Messaging"), ("domain", "Serving"), ("eventtype", "Eventing")):
            assert f"no or newer Knative {api} API found on the backend" in await kn.refused(kind, "list")
        await kn("service", "create", "later", "--image", kn.image, "--no-wait")
        assert "is ready" in (await kn("service", "wait", "later")).out


async def test_brokers_and_triggers(tmp_path: Path) -> None:
    async with kn_with_image(tmp_path) as kn:
        await kn("service", "create", "hello", "--image", kn.image)
        await kn("broker", "create", "default")
        assert "default" in (await kn("broker", "list")).out
        made = ("trigger", "create", "t", "--broker", "default", "--filter", "type=a.b", "--sink", "ksvc:hello")
        assert "successfully created" in (await kn(*made)).out
        assert "already exists" in await kn.refused(*made)
        assert '"nothere" not found' in await kn.refused("trigger", "create", "u", "--broker", "default", "--sink", "ksvc:nothere")
        await kn("trigger", "update", "t", "--filter", "type=c.d", "--sink", "broker:default")
        spec = (await kn.json("trigger", "describe", "t"))["spec"]
        assert isinstance(spec, dict)
        assert (spec["filter"], spec["subscriber"]["ref"]["kind"]) == ({"attributes": {"type": "c.d"}}, "Broker")

        async def resolved() -> bool:
            return "++ DeadLetterSinkResolved" in (await kn("broker", "describe", "default")).out

        await eventually(resolved, 20, "the broker's conditions are not there")
        await kn("trigger", "delete", "t")
        await kn("broker", "delete", "default", "--wait")
        assert '"default" not found' in await kn.refused("broker", "delete", "default")


async def test_a_cluster_local_service_is_reached_by_its_name_inside_and_by_no_other(tmp_path: Path) -> None:
    async with kn_with_image(tmp_path) as kn:
        created = await kn("service", "create", "hello", "--image", kn.image, "--cluster-local")
        assert "http://hello.default.svc.cluster.local" in created.out
        assert (await kn.platform.request("hello.default.svc.cluster.local")).text == "none hello-00001"
        assert (await kn.platform.request("hello.default.localhost")).status_code == 404
        await kn("service", "update", "hello", "--no-cluster-local")
        assert (await kn.text("hello")).startswith("none hello-")
        await kn("service", "update", "hello", "--annotation-service", "kfn.dev/hosts=*.shop.org")
        assert (await kn.platform.request("a.shop.org")).text.startswith("none hello-")
        assert "has no name outside" in await kn.refused("service", "update", "hello", "--cluster-local")
