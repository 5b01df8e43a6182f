"""Finding the API server and proving who we are, from kubeconfigs as people have them."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from kfn.kube import config


def kubeconfig(path: Path, user: dict[str, Any], cluster: dict[str, Any] | None = None, context: dict[str, Any] | None = None) -> str:
    doc = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "main", "context": {"cluster": "c", "user": "u", **(context or {})}}],
        "current-context": "main",
    }
    path.write_text(yaml.safe_dump(doc))
    return str(path)


class TestCredentials:
    async def test_a_token(self, tmp_path: Path) -> None:
        found = config.load(kubeconfig(tmp_path / "k", {"token": "s3cr3t"}, context={"namespace": "team"}))
        assert (found.server, found.namespace, await found.token()) == ("https://127.0.0.1:6443", "team", "s3cr3t")
        assert found.is_loopback

    async def test_a_token_file_beside_the_kubeconfig_is_read_each_time(self, tmp_path: Path) -> None:
        (tmp_path / "t").write_text("one\n")
        found = config.load(kubeconfig(tmp_path / "k", {"tokenFile": "t"}))
        assert await found.token() == "one"
        (tmp_path / "t").write_text("two\n")
        assert await found.token() == "two"

    async def test_a_certificate_authority_as_data_and_as_a_file(self, tmp_path: Path) -> None:
        inline = {"certificate-authority-data": base64.b64encode(b"PEM").decode()}
        assert config.load(kubeconfig(tmp_path / "k", {}, inline)).ca_pem == "PEM"
        (tmp_path / "ca.crt").write_text("FILE")
        assert config.load(kubeconfig(tmp_path / "k", {}, {"certificate-authority": "ca.crt"})).ca_pem == "FILE"

    async def test_a_client_certificate_lands_in_a_file_only_we_can_read(self, tmp_path: Path) -> None:
        user = {f"client-{part}-data": base64.b64encode(part.encode()).decode() for part in ("certificate", "key")}
        found = config.load(kubeconfig(tmp_path / "k", user))
        assert found.client_cert is not None
        file = Path(found.client_cert[0])
        assert file.read_text() == "certificate\nkey"
        assert file.stat().st_mode & 0o777 == 0o600
        file.unlink()

    def test_the_secret_is_not_shown(self, tmp_path: Path) -> None:
        assert "s3cr3t" not in repr(config.load(kubeconfig(tmp_path / "k", {"token": "s3cr3t"})))


class TestChoice:
    def test_the_context_that_is_asked_for(self, tmp_path: Path) -> None:
        path = kubeconfig(tmp_path / "k", {"token": "t"})
        with pytest.raises(config.ConfigError, match=r"no context named 'nope'; there are: main"):
            config.load(path, "nope")

    def test_several_files_are_one_configuration(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = kubeconfig(tmp_path / "a", {"token": "t"})
        (tmp_path / "b").write_text(yaml.safe_dump({"contexts": [{"name": "other", "context": {"cluster": "c", "namespace": "x"}}]}))
        monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'b'}")
        assert config.load(context="other").namespace == "x"

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(config.ConfigError, match=r"no such file.*kfn up"):
            config.load(str(tmp_path / "nowhere"))

    @pytest.mark.parametrize("text", ["[1", "- a", ""])
    def test_a_file_that_is_no_kubeconfig_is_named(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "k").write_text(text)
        with pytest.raises(config.ConfigError, match=str(tmp_path)):
            config.load(str(tmp_path / "k"))

    async def test_a_pod_uses_its_service_account(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, text in (("token", "pod-token"), ("ca.crt", "CA"), ("namespace", "here")):
            (tmp_path / name).write_text(text)
        monkeypatch.setattr(config, "SERVICE_ACCOUNT", tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("KUBECONFIG")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        found = config.load()
        assert (found.server, found.ca_pem, found.namespace, await found.token()) == ("https://[fd00::1]:443", "CA", "here", "pod-token")
