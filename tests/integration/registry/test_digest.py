"""What the controller asks a registry: the digest of a tag, with a pod's pull secrets and with nobody else's logins."""

import json
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from builder.registry.digest import Digests
from builder.registry.push import push
from builder.registry.reference import ImageRef
from kfn.digests import Unresolved
from tests.integration.registry.conftest import Client, an_image, blob_file, quiet
from tests.peers.registry import PASSWORD, USER, Running, registry


def login(host: str, *, old: bool = False) -> dict[str, Any]:
    auths = {host: {"username": USER, "password": PASSWORD}}
    return auths if old else {"auths": auths}


async def pushed(reg: Running, folder: Path, client: Client) -> str:
    content = an_image(blob_file(folder, 900))
    async with client(pull_secrets=(("test", json.dumps(login(reg.host)).encode()),)) as registries:
        await push(registries, content, [ImageRef(reg.host, "app", "1")], quiet)
    return content.digest


class TestADigest:
    @pytest.mark.parametrize("old", [False, True], ids=["dockerconfigjson", "dockercfg"])
    async def test_is_that_of_the_tag_with_the_pods_own_login(self, tmp_path: Path, client: Client, old: bool) -> None:
        async with registry(tmp_path, auth="basic") as reg:
            digest = await pushed(reg, tmp_path, client)
            other = {"auths": {"elsewhere.example": {"username": "a", "password": "b"}}}
            assert await Digests().resolve(f"{reg.host}/app:1", [other, login(reg.host, old=old)]) == digest

    async def test_that_nobody_may_see_names_no_command_line(self, tmp_path: Path, client: Client) -> None:
        async with registry(tmp_path, auth="basic") as reg:
            await pushed(reg, tmp_path, client)
            with pytest.raises(Unresolved, match=r"does not let this user pull .*no pull secret was given\. Name one") as caught:
                await Digests().resolve(f"{reg.host}/app:1", [])
            assert caught.value.lasting
            assert "docker login" not in str(caught.value)
            assert PASSWORD not in str(caught.value)

    async def test_of_an_image_that_is_not_there_lasts(self, tmp_path: Path) -> None:
        async with registry(tmp_path) as reg:
            with pytest.raises(Unresolved, match="404 Not Found") as caught:
                await Digests().resolve(f"{reg.host}/no/such:1", [])
            assert caught.value.lasting

    async def test_that_no_registry_answers_for_may_come_later(self) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            with pytest.raises(Unresolved) as caught:
                await Digests().resolve(f"127.0.0.1:{closed.getsockname()[1]}/app:1", [])
        assert not caught.value.lasting

    async def test_is_not_asked_with_this_users_logins_nor_by_a_program_that_a_secret_names(
        self, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with registry(tmp_path, auth="basic") as reg:
            await pushed(reg, tmp_path, client)
            home = tmp_path / "docker"
            home.mkdir()
            (home / "config.json").write_text(json.dumps(login(reg.host)))
            helper = tmp_path / "docker-credential-mine"
            helper.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
            helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
            monkeypatch.setenv("DOCKER_CONFIG", str(home))
            monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
            with pytest.raises(Unresolved, match="does not let this user pull"):
                await Digests().resolve(f"{reg.host}/app:1", [{"credsStore": "mine", "auths": {}}])
            assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("config", [{"auths": []}, {"auths": {"x": "y"}}, {"auths": {"x": {"auth": "%%%"}}}, {"a": 1}])
    async def test_with_a_broken_secret_is_no_crash(self, tmp_path: Path, config: dict[str, Any]) -> None:
        async with registry(tmp_path) as reg:
            with pytest.raises(Unresolved):
                await Digests().resolve(f"{reg.host}/no/such:1", [config])
