"""The registries that the tests run against do what the tests need of them."""

from pathlib import Path

import httpx

from tests.peers.registry import PASSWORD, USER, registry


class TestARealRegistry:
    async def test_answers_on_a_port_that_the_kernel_chose(self, tmp_path: Path) -> None:
        async with registry(tmp_path) as one, registry(tmp_path) as two, httpx.AsyncClient(trust_env=False) as client:
            assert one.host != two.host
            for running in (one, two):
                assert (await client.get(f"http://{running.host}/v2/")).status_code == 200
            assert one.requests() == ["GET /v2/"]

    async def test_asks_for_a_password(self, tmp_path: Path) -> None:
        async with registry(tmp_path, auth="basic") as running, httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://{running.host}/v2/")).status_code == 401
            assert (await client.get(f"http://{running.host}/v2/", auth=(USER, PASSWORD))).status_code == 200

    async def test_verifies_the_signature_of_a_token(self, tmp_path: Path) -> None:
        async with registry(tmp_path, auth="token") as running, httpx.AsyncClient(trust_env=False) as client:
            url, tokens = f"http://{running.host}/v2/app/tags/list", running.tokens
            assert tokens
            asked = await client.get(url)
            assert asked.status_code == 401
            assert 'scope="repository:app:pull"' in asked.headers["WWW-Authenticate"]
            token = tokens.sign([{"type": "repository", "name": "app", "actions": ["pull"]}], "test")
            assert (await client.get(url, headers={"Authorization": f"Bearer {token}"})).status_code == 404  # no such repository
            spoilt = token[:-6] + ("AAAAAA" if token[-6:] != "AAAAAA" else "BBBBBB")
            assert (await client.get(url, headers={"Authorization": f"Bearer {spoilt}"})).status_code == 401
