"""How kfn connects to the API server: its certificate, a proxy between, one that has gone."""

import socket
import ssl

import pytest

from kfn.kube.config import Config
from kfn.kube.http import _proxy, _socket, _tls


class TestTheCertificateOfAnApiServer:
    def test_may_lack_a_key_identifier_as_for_kubectl_and_is_checked_otherwise(self) -> None:
        context = _tls(Config("https://10.0.0.1:6443"))
        assert isinstance(context, ssl.SSLContext)
        assert not context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname


class TestAProxy:
    @pytest.mark.parametrize(
        ("server", "environ", "proxy"),
        [
            pytest.param("https://api.example:6443", {}, None, id="none"),
            pytest.param("https://api.example:6443", {"https_proxy": "http://p:3128"}, "http://p:3128", id="the-environments"),
            pytest.param("https://api.example:6443", {"http_proxy": "http://p:3128"}, None, id="one-for-http-only"),
            pytest.param(
                "https://api.example", {"https_proxy": "http://p:1", "no_proxy": "other,.example"}, None, id="but-not-for-this-host"
            ),
            pytest.param("https://127.0.0.1:6443", {"https_proxy": "http://p:3128"}, None, id="not-on-this-machine"),
        ],
    )
    def test_is_the_environments_for_servers_elsewhere(
        self, monkeypatch: pytest.MonkeyPatch, server: str, environ: dict[str, str], proxy: str | None
    ) -> None:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        assert _proxy(Config(server)) == proxy


def test_a_connection_notices_a_server_that_has_gone_without_a_word() -> None:
    made = _socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1)))
    with made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
