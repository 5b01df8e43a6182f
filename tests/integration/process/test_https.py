"""`kfn gateway` with HTTPS: certificates from Secrets of a real API server, and what it refuses to start with."""

import re
import subprocess
from pathlib import Path

import pytest

from kfn.api import kinds
from kfn.api.base import encode
from tests.fakes.authority import Authority, Issued, secret
from tests.fakes.secure import command
from tests.fakes.upstream import upstream
from tests.integration.process.stage import HOST, Process, Stage, stage, until


def _https(gateway: Process) -> int:
    found = re.search(r"listening on [^ ]*:(\d+) \(tls\)", gateway.text)
    assert found, gateway.text
    return int(found[1])


async def _serial(port: int, host: str) -> str:
    said = await command("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", host)
    shown = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=said, capture_output=True, text=True, check=False)
    return shown.stdout.strip().removeprefix("serial=").lstrip("0").lower()


async def _put(s: Stage, issued: Issued, name: str, labels: dict[str, str] | None = None) -> None:
    doc = encode(secret(issued, name, namespace="default", labels=labels))
    if labels is None and await _exists(s, name):
        await s.api.client.patch(kinds.SECRET, name, "default", {"data": doc["data"]})
    else:
        await s.api.client.create(kinds.SECRET, doc, "default")


async def _exists(s: Stage, name: str) -> bool:
    return any(one.metadata.name == name for one in (await s.api.client.list(kinds.SECRET, "default"))[0])


async def test_secrets_by_name_and_by_label_are_followed(tmp_path: Path) -> None:
    ca = Authority()
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    async with (
        stage(tmp_path) as s,
        upstream() as instance,
        s.gateway("--tls-port", "0", "--tls-secret", "default/web", "--tls-secrets-namespace", "default") as gateway,
    ):
        await s.instance(instance.port)
        port = _https(gateway)
        assert await _serial(port, HOST) == ""  # the Secret is not there yet; plain requests are served
        assert await gateway.get() == (200, "hello")
        first, second, other = ca.issue("*.default.localhost"), ca.issue("*.default.localhost"), ca.issue("shop.example.com")
        for issued in (first, second):
            await _put(s, issued, "web")
            await until(lambda issued=issued: f"serial {issued.serial:x}" in gateway.text)  # type: ignore[misc]
            assert await _serial(port, HOST) == f"{issued.serial:x}"
        await _put(s, other, "shop", {"kfn.dev/gateway-certificate": "true"})
        await _put(s, ca.issue("not.labelled"), "private")
        await until(lambda: f"serial {other.serial:x}" in gateway.text)
        assert await _serial(port, "shop.example.com") == f"{other.serial:x}"
        said = await command("curl", "-sS", "--cacert", str(tmp_path / "ca.pem"), "--resolve", f"{HOST}:{port}:127.0.0.1",
                             f"https://{HOST}:{port}/")  # fmt: skip
        assert said == "hello"
        assert "not.labelled" not in gateway.text
        assert "PRIVATE" not in gateway.text
        assert await gateway.number("kfn_gateway_certificate_reloads_total") == 1
        assert await gateway.number("kfn_gateway_certificate_expiry_seconds", server_name="shop.example.com") > 0


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        pytest.param(("--tls-port", "0"), 2, "say which certificate", id="no-certificate"),
        pytest.param(("--tls-secret", "a/b"), 2, "need --tls-port", id="no-port"),
        pytest.param(("--tls-port", "0", "--tls-secret", "web"), 2, "--tls-secret web: expected NAMESPACE/NAME", id="no-namespace"),
        pytest.param(("--tls-port", "0", "--tls-cert", "FOLDER"), 2, "cannot read FOLDER/tls.crt: No such file", id="no-file"),
    ],
)
async def test_what_cannot_be_is_said_before_anything_is_started(tmp_path: Path, args: tuple[str, ...], code: int, said: str) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    async with stage(tmp_path) as s:
        process = await s.start(*(str(folder) if one == "FOLDER" else one for one in args))
        assert await process.ended() == code
        assert said.replace("FOLDER", str(folder)) in process.text
        assert "Traceback" not in process.text
        process.process._transport.close()  # type: ignore[attr-defined]
