"""HTTPS with `kfn up`: curl trusts the platform's authority, in every namespace, and files of the user's own are followed."""

from pathlib import Path

import httpx
import pytest

from tests.e2e.harness import Platform, eventually, function, run, running
from tests.fakes.authority import Authority

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SOURCE = "def handle(request):\n    return request.headers['x-forwarded-proto']\n"


async def _curl(platform: Platform, ca: Path, host: str, *more: str) -> str:
    port = platform.facts["gateway_tls"].rpartition(":")[2]
    asked = await run("curl", "-sS", "--cacert", str(ca), "--resolve", f"{host}:{port}:127.0.0.1", *more, f"https://{host}:{port}/")
    return asked.out or asked.err


async def test_curl_trusts_it_in_every_namespace_as_soon_as_a_function_is_there(tmp_path: Path) -> None:
    project = str(function(tmp_path / "f", SOURCE))
    async with running(tmp_path / "data", "--tls-port", "0") as platform:
        ca = platform.data / "tls" / "ca.crt"
        await platform.kfn("deploy", project)
        assert await _curl(platform, ca, "f.default.localhost") == "https"
        assert (await platform.request("f.default.localhost")).text == "http"
        token = (platform.data / "token").read_text().strip()
        async with httpx.AsyncClient(base_url=platform.facts["api"], verify=False, headers={"Authorization": f"Bearer {token}"}) as http:
            (await http.post("/api/v1/namespaces", json={"metadata": {"name": "team"}})).raise_for_status()
        await platform.kfn("deploy", project, "-n", "team")

        async def trusted() -> bool:
            return await _curl(platform, ca, "f.team.localhost") == "https"

        await eventually(trusted, 10, "the certificate does not cover the new namespace")
        assert await _curl(platform, ca, "f.default.localhost", "--http1.1") == "https"


async def test_files_of_the_users_own_are_followed(tmp_path: Path) -> None:
    ca, folder = Authority(), tmp_path / "certificate"
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    ca.issue("*.default.localhost").write(folder)
    async with running(tmp_path / "data", "--tls-port", "0", "--tls-cert", str(folder)) as platform:
        await platform.kfn("deploy", str(function(tmp_path / "f", SOURCE)))
        assert await _curl(platform, tmp_path / "ca.pem", "f.default.localhost") == "https"
        ca.issue("*.default.localhost", "shop.example.com").write(folder)

        async def followed() -> bool:
            return "No function has the host" in await _curl(platform, tmp_path / "ca.pem", "shop.example.com")

        await eventually(followed, 15, "the new certificate is not shown")


async def test_a_bad_certificate_is_said_and_nothing_starts(tmp_path: Path) -> None:
    ca, folder = Authority(), tmp_path / "certificate"
    cert, key = ca.issue("a.test").write(folder)
    (folder / "tls.key").write_bytes(ca.issue("a.test").key)
    platform = Platform(tmp_path / "data")
    up = ("up", "--port", "0", "--data-dir", str(platform.data))
    refused = await platform.kfn(*up, "--tls-port", "0", "--tls-cert", cert, "--tls-key", key, check=False)
    assert refused.code == 2
    assert f"error: --tls-cert, --tls-key: {cert} and {key}: the key does not belong to the certificate of a.test" in refused.err
    assert "Traceback" not in refused.err
    for wrong, said in (
        (("--tls-cert", cert), "--tls-cert, --tls-key and --tls-redirect need --tls-port"),
        (("--tls-port", "0", "--tls-cert", cert), "give its key with --tls-key"),
        (("--tls-port", "0", "--tls-key", key), "there is no --tls-cert for it"),
        (("--tls-port", "0", "--tls-redirect"), "needs a --tls-port that is known before"),
    ):
        refused = await platform.kfn(*up, *wrong, check=False)
        assert (refused.code, said in refused.err) == (2, True), refused.err
