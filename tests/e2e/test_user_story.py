"""One user's day: deploy, call from zero, change, roll back, read logs, delete. On a whole platform."""

import json
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, Platform, eventually, function, run, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

FAST_ZERO = """specVersion: 0.36.0
name: greet
runtime: python
created: 2026-01-01T00:00:00Z
deploy:
  annotations:
    autoscaling.knative.dev/window: 6s
"""


async def test_from_source_to_an_answer_from_zero_and_back(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        folder = function(tmp_path / "greet", "def handle(request):\n    return 'one'\n", func__yaml=FAST_ZERO)
        deployed = await platform.kfn("deploy", str(folder))
        port = platform.facts["gateway"].rsplit(":", 1)[1]
        assert deployed.last_line == f"http://greet.default.localhost:{port}"

        await platform.at_zero("greet")
        cold = await platform.request("greet.default.localhost")
        assert (cold.status_code, cold.text) == (200, "one")
        phases = {p.split(";")[0].strip() for p in cold.headers["server-timing"].split(",")}
        assert phases == {"queue", "scale", "start", "import", "ready", "handler", "total"}
        warm = await platform.request("greet.default.localhost")
        assert "server-timing" not in warm.headers

        await platform.at_zero("greet")


async def test_update_split_and_roll_back(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        folder = function(tmp_path / "greet", "def handle(request):\n    return 'one'\n")
        await platform.kfn("deploy", str(folder))
        assert "unchanged" in (await platform.kfn("deploy", str(folder))).err, "the same source makes no new revision"
        function(folder, "def handle(request):\n    return 'two'\n")
        await platform.kfn("deploy", str(folder))
        assert (await platform.kfn("invoke", "greet")).out == "two"

        await platform.kfn("traffic", "greet", "greet-00001=25", "@latest=75", "--tag", "greet-00001=old")
        answers = [(await platform.request("greet.default.localhost")).text for _ in range(100)]
        assert sorted(set(answers)) == ["one", "two"]
        assert answers.count("one") == 25
        assert (await platform.request("old-greet.default.localhost")).text == "one"
        assert (await platform.kfn("invoke", "greet", "--tag", "old")).out == "one"

        await platform.kfn("traffic", "greet", "greet-00001=100")
        assert (await platform.kfn("invoke", "greet")).out == "one"

        names = [r["metadata"]["name"] for r in json.loads((await platform.kfn("revisions", "-s", "greet", "-o", "json")).out)["items"]]
        assert names == ["greet-00002", "greet-00001"]
        await platform.kfn("delete", "greet")
        assert (await platform.request("greet.default.localhost")).status_code == 404
        gone = await platform.kfn("invoke", "greet", check=False)
        assert gone.code == 1
        assert "no function 'greet'" in gone.err

        async def nothing_left() -> bool:
            return not json.loads((await platform.kfn("revisions", "-o", "json")).out or "{}").get("items")

        await eventually(nothing_left, 10, "revisions of a deleted function are still there")


async def test_a_new_revision_that_crashes_leaves_the_old_one_serving(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        folder = function(tmp_path / "greet", "def handle(request):\n    return 'one'\n")
        await platform.kfn("deploy", str(folder))
        function(folder, "raise RuntimeError('no database here')\ndef handle(request):\n    return 'two'\n")
        failed = await platform.kfn("deploy", str(folder), check=False)
        assert failed.code == 1
        assert "no database here" in failed.err
        assert (await platform.kfn("invoke", "greet")).out == "one"
        described = (await platform.kfn("describe", "greet")).out
        assert "no database here" in described

        function(folder, "def handle(request):\n    return 'three'\n")
        await platform.kfn("deploy", str(folder))
        assert (await platform.kfn("invoke", "greet")).out == "three"


async def test_logs_show_what_the_function_printed(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        folder = function(tmp_path / "greet", "def handle(request):\n    print('hello from inside', flush=True)\n    return 'ok'\n")
        await platform.kfn("deploy", str(folder))
        await platform.kfn("invoke", "greet")
        assert "hello from inside" in (await platform.kfn("logs", "greet")).out


async def test_two_hundred_at_once_to_zero_are_all_answered(tmp_path: Path) -> None:
    source = "import time\ndef handle(request):\n    time.sleep(0.1)\n    return 'ok'\n"
    yaml = FAST_ZERO.replace("name: greet", "name: burst") + "  options:\n    resources:\n      limits:\n        concurrency: 10\n"
    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "burst", source, func__yaml=yaml)))
        await platform.at_zero("burst")
        answers = await burst(platform, "burst.default.localhost", 200)
        assert answers == {"200 ok": 200}


async def burst(platform: Platform, host: str, count: int) -> dict[str, int]:
    import collections

    import anyio
    import httpx

    answers: collections.Counter[str] = collections.Counter()
    limits = httpx.Limits(max_connections=count, max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=60, trust_env=False, limits=limits) as http:

        async def one() -> None:
            answer = await http.get(platform.facts["gateway"], headers={"Host": host})
            answers[f"{answer.status_code} {answer.text[:80]}"] += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(one)
    return dict(answers)


async def test_every_template_deploys_as_it_is(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        for template in ("http", "cloudevents"):
            folder = tmp_path / f"new-{template}"
            await platform.kfn("new", str(folder), "--template", template)
            assert (await platform.kfn("deploy", str(folder))).last_line.startswith(f"http://new-{template}.default.localhost:")
        again = await platform.kfn("new", str(tmp_path / "new-http"), check=False)
        assert again.code == 2
        assert "not empty" in again.err


async def test_the_version_is_printed_without_a_platform() -> None:
    from tests.e2e.harness import KFN

    result = await run(*KFN, "--version")
    assert result.out.strip() == "kfn 0.1.0"
    assert ROOT.is_dir()
