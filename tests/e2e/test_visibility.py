"""Who reaches which function: cluster-local ones from inside only, and hosts of the user's own."""

from pathlib import Path

import httpx
import pytest

from tests.e2e.harness import eventually, function, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

FUNC = """specVersion: 0.36.0
name: NAME
runtime: python
created: 2026-01-01T00:00:00Z
deploy:
"""
LOCAL = """  labels:
  - key: networking.knative.dev/visibility
    value: cluster-local
"""
HOSTS = """  annotations:
    kfn.dev/hosts: shop.example.org,*.shop.example.org
"""
INSIDE = "secret.default.svc.cluster.local"

SOURCE = "import os\ndef handle(request):\n    return os.environ['K_SERVICE']\n"
SINK = "import os\nimport kfn\n@kfn.cloudevent\ndef handle(event):\n    open(os.environ['OUT'], 'a').write(event.id)\n"


async def _ask(base: str, host: str) -> tuple[int, str]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        answer = await http.get(base, headers={"Host": host})
        return answer.status_code, answer.text.strip()


async def test_a_cluster_local_function_is_reached_from_inside_only(tmp_path: Path) -> None:
    out = tmp_path / "seen.txt"
    async with running(tmp_path / "data", "--host", "0.0.0.0") as platform:
        source = function(tmp_path / "secret", SINK, func__yaml=FUNC.replace("NAME", "secret") + LOCAL)
        deployed = await platform.kfn("deploy", str(source), "-e", f"OUT={out}")
        assert deployed.last_line == f"http://{INSIDE}"
        outside, inside = platform.facts["gateway"], platform.facts["gateway_local"]
        unknown = await _ask(outside, "nothing.default.svc.cluster.local")
        for host in (INSIDE, "secret.default.svc", "secret.default", "secret.default.localhost"):
            status, text = await _ask(outside, host)
            assert (status, text) == (404, unknown[1].replace("nothing.default.svc.cluster.local", host)), "as if it did not exist"
        assert (await _ask(inside, INSIDE))[0] != 404
        assert (await _ask(inside, "secret.default.localhost"))[0] == 404

        await platform.kfn("broker", "create", "default")
        await platform.kfn("trigger", "create", "t", "--broker", "default", "--sink", "ksvc:secret")
        sent = (await platform.kfn("events", "publish", "--type", "a.b", "--source", "/test", "--data", "{}")).last_line

        async def seen() -> bool:
            return out.exists() and out.read_text() == sent

        await eventually(seen, 15, "the event did not arrive")


async def test_hosts_of_the_users_own_lead_to_the_function(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        await platform.kfn("deploy", str(function(tmp_path / "shop", SOURCE, func__yaml=FUNC.replace("NAME", "shop") + HOSTS)))
        for host in ("shop.example.org", "a.b.shop.example.org:80", "shop.default.localhost"):
            assert await _ask(platform.facts["gateway"], host) == (200, "shop")
        assert (await _ask(platform.facts["gateway"], "example.org"))[0] == 404
        wrong = function(tmp_path / "bad", SOURCE, func__yaml=FUNC.replace("NAME", "bad") + HOSTS.replace("shop.example.org,", "*,"))
        refused = await platform.kfn("deploy", str(wrong), check=False)
        assert refused.code != 0
        assert "kfn.dev/hosts" in refused.err
