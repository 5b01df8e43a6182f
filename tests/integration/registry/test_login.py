"""Who kfn is at a registry that asks: passwords, tokens, helpers, and what it says when it is not let in."""

import base64
import json
import stat
from pathlib import Path

import pytest

from builder.errors import RegistryRefused, UsageError
from builder.registry import pull
from builder.registry.push import push
from builder.registry.reference import ImageRef
from tests.integration.registry.conftest import AMD64, Client, an_image, blob_file, quiet
from tests.peers.registry import PASSWORD, USER, registry

LOGIN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def docker_config(folder: Path, body: object) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(body))
    return {"DOCKER_CONFIG": str(folder)}


def environment(host: str) -> dict[str, str]:
    return {"KFN_REGISTRY_HOST": host, "KFN_REGISTRY_USER": USER, "KFN_REGISTRY_PASSWORD": PASSWORD}


class TestAPassword:
    async def test_is_found_in_dockers_configuration(self, tmp_path: Path, client: Client) -> None:
        async with registry(tmp_path, auth="basic") as reg:
            env = docker_config(tmp_path / "docker", {"auths": {f"http://{reg.host}/v2/": {"auth": LOGIN}}})
            async with client(env) as registries:
                await push(registries, an_image(blob_file(tmp_path, 900)), [ImageRef(reg.host, "app", "1")], quiet)

    async def test_is_found_in_podmans_auth_json_for_the_longest_path(self, tmp_path: Path, client: Client) -> None:
        async with registry(tmp_path, auth="basic") as reg:
            file = tmp_path / "nobody/.config/containers/auth.json"
            file.parent.mkdir(parents=True)
            wrong = base64.b64encode(b"someone:else").decode()
            file.write_text(json.dumps({"auths": {reg.host: {"auth": wrong}, f"{reg.host}/team": {"auth": LOGIN}}}))
            async with client() as registries:
                await registries.check_push(ImageRef(reg.host, "team/app"))
                with pytest.raises(RegistryRefused, match=r"auth\.json"):
                    await registries.check_push(ImageRef(reg.host, "other/app"))

    @pytest.mark.parametrize("old", [False, True], ids=["dockerconfigjson", "dockercfg"])
    async def test_is_found_in_a_pull_secret(self, tmp_path: Path, client: Client, old: bool) -> None:
        async with registry(tmp_path, auth="basic") as reg:
            auths = {reg.host: {"username": USER, "password": PASSWORD}}
            secret = json.dumps(auths if old else {"auths": auths}).encode()
            async with client(pull_secrets=(("secret team/pull", secret),)) as registries:
                await registries.check_push(ImageRef(reg.host, "app"))

    async def test_comes_from_a_helper_that_is_told_the_registry(self, tmp_path: Path, client: Client) -> None:
        async with registry(tmp_path, auth="basic") as reg:
            helper = tmp_path / "bin/docker-credential-test"
            helper.parent.mkdir()
            answer = json.dumps({"ServerURL": reg.host, "Username": USER, "Secret": PASSWORD})
            helper.write_text(f"#!/bin/sh\n[ \"$1 $(cat)\" = 'get {reg.host}' ] && echo '{answer}'\n")
            helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
            env = docker_config(tmp_path / "docker", {"credHelpers": {reg.host: "test"}})
            async with client({**env, "PATH": f"{helper.parent}:/usr/bin:/bin"}) as registries:
                await registries.check_push(ImageRef(reg.host, "app"))

    async def test_from_the_environment_goes_to_no_other_registry(self, tmp_path: Path, client: Client) -> None:
        from builder.registry.settings import RegistrySettings

        async with registry(tmp_path, auth="basic") as one, registry(tmp_path, auth="basic") as two:
            logins = RegistrySettings.from_environment(environment(one.host)).logins
            async with client(logins=logins) as registries:
                await registries.check_push(ImageRef(one.host, "app"))
                with pytest.raises(RegistryRefused, match="there is no login"):
                    await registries.check_push(ImageRef(two.host, "app"))


class TestBeingRefused:
    async def test_says_where_a_login_was_looked_for_and_how_to_log_in(self, tmp_path: Path, client: Client) -> None:
        async with registry(tmp_path, auth="basic") as reg:
            env = docker_config(tmp_path / "docker", {"auths": {"other.example": {"auth": LOGIN}}, "credsStore": "nosuch"})
            async with client(env) as registries:
                with pytest.raises(RegistryRefused) as refused:
                    await registries.check_push(ImageRef(reg.host, "team/app"))
        text = str(refused.value)
        assert refused.value.exit_code == 4
        assert f"{reg.host} does not let this user push to team/app (401 Unauthorized: UNAUTHORIZED" in text
        assert f"{tmp_path}/docker/config.json (its helper docker-credential-nosuch is not in PATH)" in text
        assert f"docker login {reg.host}" in text

    @pytest.mark.parametrize("auth", ["basic", "token"])
    async def test_names_the_source_of_a_wrong_password_and_never_the_password(self, tmp_path: Path, client: Client, auth: str) -> None:
        wrong = base64.b64encode(b"kfn:s3cret-and-wrong").decode()
        async with registry(tmp_path, auth=auth) as reg:  # type: ignore[arg-type]
            env = docker_config(tmp_path / "docker", {"auths": {reg.host: {"auth": wrong}}})
            async with client(env) as registries:
                with pytest.raises(RegistryRefused) as refused:
                    await registries.check_push(ImageRef(reg.host, "app"))
        text = str(refused.value) + repr(refused.value.__dict__)
        assert f"the login was from {tmp_path}/docker/config.json ({reg.host})" in text
        assert "s3cret" not in text and wrong not in text

    async def test_a_broken_configuration_is_named_and_not_shown(self, tmp_path: Path, client: Client) -> None:
        (tmp_path / "docker").mkdir()
        (tmp_path / "docker/config.json").write_text('{"auths": {"x": {"auth": "c2VjcmV0')
        async with registry(tmp_path, auth="basic") as reg, client({"DOCKER_CONFIG": str(tmp_path / "docker")}) as registries:
            with pytest.raises(UsageError, match=r"config\.json is not JSON") as wrong:
                await registries.check_push(ImageRef(reg.host, "app"))
        assert "c2Vj" not in str(wrong.value)


class TestATokenServer:
    async def test_is_asked_for_exactly_what_is_needed(self, tmp_path: Path, client: Client) -> None:
        async with registry(tmp_path, auth="token") as reg:
            assert reg.tokens
            env = docker_config(tmp_path / "docker", {"auths": {reg.host: {"auth": LOGIN}}})
            async with client(env) as registries:
                blob = blob_file(tmp_path, 5000)
                base = ImageRef(reg.host, "bases/python", "1")
                await push(registries, an_image(blob), [base], quiet)
                away = await pull.image(registries, base, AMD64)
                reg.tokens.asked.clear()
                done = await push(registries, away, [ImageRef(reg.host, "app", "1")], quiet)
                assert done.mounted == sum(one.size for one in away.blobs)
                assert sorted(reg.tokens.asked) == [
                    ["repository:app:pull,push"],
                    ["repository:app:pull,push", "repository:bases/python:pull"],
                ]

    async def test_gives_new_tokens_when_they_end_in_the_middle_of_a_push(self, tmp_path: Path, client: Client) -> None:
        async with registry(tmp_path, auth="token") as reg:
            assert reg.tokens
            reg.tokens.lifetime = 1  # for us it has ended before it is used twice; the registry allows a minute of leeway
            env = docker_config(tmp_path / "docker", {"auths": {reg.host: {"auth": LOGIN}}})
            async with client(env, monolithic=100_000, chunk=100_000) as registries:
                await push(registries, an_image(blob_file(tmp_path, 350_000)), [ImageRef(reg.host, "app", "1")], quiet)
                assert len(reg.tokens.asked) > 5

    async def test_lets_anybody_pull_and_says_who_may_not_push(self, tmp_path: Path, client: Client) -> None:
        async with registry(tmp_path, auth="token") as reg:
            env = docker_config(tmp_path / "docker", {"auths": {reg.host: {"auth": LOGIN}}})
            ref = ImageRef(reg.host, "app", "1")
            async with client(env) as registries:
                await push(registries, an_image(blob_file(tmp_path, 900)), [ref], quiet)
            async with client() as registries:
                await pull.local(registries, await pull.image(registries, ref, AMD64), tmp_path / "out")
                with pytest.raises(RegistryRefused, match="push to app"):
                    await registries.check_push(ref)

    async def test_that_knows_no_right_to_the_neighbour_makes_the_layer_travel(self, tmp_path: Path, client: Client) -> None:
        async with registry(tmp_path, auth="token") as reg:
            assert reg.tokens
            env = docker_config(tmp_path / "docker", {"auths": {reg.host: {"auth": LOGIN}}})
            blob = blob_file(tmp_path, 5000)
            async with client(env) as registries:
                base = ImageRef(reg.host, "secret/base", "1")
                await push(registries, an_image(blob), [base], quiet)
                from dataclasses import replace

                reg.tokens.allowed = lambda scope: "secret" not in scope
                both = replace(blob, origin=base.name)
                done = await push(registries, an_image(both, note="2"), [ImageRef(reg.host, "app", "1")], quiet)
                assert done.mounted == 0
                assert done.uploaded > 5000
