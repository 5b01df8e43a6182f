"""The life of a process of kfn: what it cannot start for, what it waits for, an API server that is away, signals."""

import signal
import socket
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from kfn.observe import web
from tests.integration.parts.stage import SECRETS, Stage, stage, until

pytestmark = pytest.mark.timeout(600)
SCALER = ("autoscaler", "--port", "0", "--slots-port", "0", "--no-lease")


class TestWhatItCannotStartFor:
    async def test_a_kubeconfig_that_is_not_there_is_named_in_one_line(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s:
            s.kubeconfig = tmp_path / "nowhere"
            part = await s.part("controller", wait=False)
            assert await part.ended() == 2
            assert str(s.kubeconfig) in part.text
            assert len(part.text.strip().splitlines()) == 1

    async def test_a_port_that_is_taken_is_named_with_the_flags(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            async with stage(tmp_path) as s:
                part = await s.part("controller", "--admin-port", str(port), wait=False)
                assert await part.ended() == 1
                assert f"127.0.0.1:{port}" in part.text
                assert "--admin-port" in part.text

    async def test_without_a_token_for_gateways_there_is_no_autoscaler(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s:
            part = await s.part("autoscaler", wait=False, KFN_AUTOSCALER_TOKEN="")
            assert await part.ended() == 2
            assert "--token-file FILE, or set $KFN_AUTOSCALER_TOKEN" in part.text

    async def test_a_cluster_without_kfns_resources_is_told_of_kfn_install(self, tmp_path: Path) -> None:
        async def nothing(request: Request) -> JSONResponse:
            return JSONResponse({"kind": "Status", "code": 404, "reason": "NotFound", "message": "the server could not find it"}, 404)

        async with web.serving(Starlette(routes=[Route("/{path:path}", nothing)])) as port, stage(tmp_path) as s:
            s.kubeconfig = kubeconfig(tmp_path, port)
            part = await s.part("controller", wait=False)
            assert await part.ended() == 1
            last = part.text.strip().splitlines()[-1]
            assert "services.serving.knative.dev" in last
            assert "`kfn install`" in last

    @pytest.mark.parametrize("flags", [("--lease", "nonsense"), ("--identity", "x", "--lease", "a/b/c")], ids=["no slash", "two"])
    async def test_a_lease_that_is_none_is_refused(self, tmp_path: Path, flags: tuple[str, ...]) -> None:
        async with stage(tmp_path) as s:
            part = await s.part("controller", *flags, wait=False)
            assert await part.ended() == 2
            assert "NAMESPACE/NAME" in part.text


def kubeconfig(path: Path, port: int) -> Path:
    import json

    file = path / "other-kubeconfig"
    cluster, context = {"server": f"http://127.0.0.1:{port}"}, {"cluster": "c", "user": "u"}
    named = {"clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": {"token": "t"}}]}
    file.write_text(json.dumps({**named, "contexts": [{"name": "x", "context": context}], "current-context": "x"}))
    return file


async def answers(s: Stage, port: int, path: str) -> tuple[int, str]:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(f"http://127.0.0.1:{port}{path}")
    return answer.status_code, answer.text


def free() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class TestAnApiServerThatIsAway:
    async def test_at_the_start_it_is_waited_for_alive_and_not_ready_and_sigterm_ends_that(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s:
            s.api.signal(signal.SIGKILL)
            await s.api.ended()
            port = free()
            part = await s.part(*SCALER, "--admin-port", str(port), wait=False)

            async def lives() -> bool:
                try:
                    return (await answers(s, port, "/healthz"))[0] == 200
                except httpx.HTTPError:
                    return False

            await until(lives, "/healthz answers")
            status, text = await answers(s, port, "/readyz")
            assert status == 503
            assert "does not answer" in text
            part.signal(signal.SIGTERM)
            assert await part.ended() == 0

    async def test_it_starts_when_the_server_does(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s:
            s.api.signal(signal.SIGKILL)
            await s.api.ended()
            part = await s.part(*SCALER, wait=False)
            await anyio.sleep(2)
            await s.start_api()
            await part.ready()
            assert (await part.get("/readyz")).status_code == 200

    async def test_later_the_process_stays_ready_says_so_and_follows_again(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s:
            part = await s.part(*SCALER)

            async def follows() -> bool:
                return "\nkfn_kubernetes_stale_seconds 0.000\n" in (await part.get("/metrics")).text

            await until(follows, "it follows")
            s.api.signal(signal.SIGKILL)
            await s.api.ended()

            async def told() -> bool:
                answer = await part.get("/readyz")
                assert answer.status_code == 200
                return "cannot be followed" in answer.text

            await until(told, "/readyz tells of it")
            assert (await part.get("/healthz")).status_code == 200
            await s.start_api()
            await until(follows, "it follows again")
            assert part.process.returncode is None


class TestSignals:
    async def test_sigterm_ends_it_with_0_and_a_second_one_at_once(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s:
            part = await s.part(*SCALER)
            part.signal(signal.SIGTERM)
            assert await part.ended() == 0

    async def test_its_log_lines_are_json_and_hold_no_secret(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s:
            part = await s.part(*SCALER, "--log-level", "debug")
            await part.get("/metrics")
            part.signal(signal.SIGTERM)
            await part.ended()
            assert len(part.lines) == len(part.text.strip().splitlines()) > 0
            assert not any(secret in part.text for secret in SECRETS.values())

    async def test_a_setting_may_come_from_the_environment(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as s:
            part = await s.part("controller", "--no-lease", "--no-builds", KFN_DOMAIN="functions.example")
            assert part.said["domain"] == "functions.example"
