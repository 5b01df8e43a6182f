"""Debian's docker-registry as a child on loopback, with or without a login, and skopeo to read it back.

    async with registry(tmp_path) as reg:
        ...push to f"{reg.host}/app:1"...
        print(await skopeo("inspect", "--tls-verify=false", f"docker://{reg.host}/app:1"))

`auth="basic"` asks for USER and PASSWORD, `auth="token"` for a Bearer token from a small token server of our own that takes the same.
"""

import asyncio
import base64
import hashlib
import json
import re
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Literal

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.fakes.authority import Authority, Issued
from tests.fakes.raw_http import Request, Response, serve

USER, PASSWORD = "kfn", "correct horse"
_BCRYPT = "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e"  # of PASSWORD; cost 4, for it is hashed at each request
STARTS_WITHIN = 20.0
_LISTENING = re.compile(r"listening on ([0-9.]+:\d+)")
Auth = Literal["none", "basic", "token"]


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class TokenServer:
    """Signs what is asked for, to who says USER and PASSWORD; `pull` to everybody. `asked` keeps the scopes of each request."""

    authority: Authority
    host: str = ""
    lifetime: int = 300  # seconds
    asked: list[list[str]] = field(default_factory=list)
    allowed: Callable[[str], bool] = lambda scope: True

    def __post_init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        issued = self.authority.issue("token server", key=key)
        self.key, self.pem = key, issued.cert

    async def __call__(self, request: Request) -> Response:
        form = dict(re.findall(r"([^&=]+)=([^&]*)", (await request.body()).decode()))
        scopes = [part for key, value in request.query if key == "scope" for part in value.split()] or form.get("scope", "").split("+")
        self.asked.append(scopes)
        given = request.headers.get("authorization", "")
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if given and given != f"Basic {login}":
            return Response.json({"details": "incorrect username or password"}, 401)
        access = []
        for scope in filter(self.allowed, scopes):
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            granted = [action for action in actions.split(",") if given or action == "pull"]
            access.append({"type": kind, "name": name, "actions": granted})
        return Response.json({"token": self.sign(access, request.parameter("service")), "expires_in": self.lifetime})

    def sign(self, access: list[dict[str, object]], service: str) -> str:
        der = self.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        short = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
        kid = ":".join(short[i : i + 4] for i in range(0, 48, 4))  # libtrust's name for a key
        now = int(time())
        head = {"typ": "JWT", "alg": "ES256", "kid": kid}
        claims = {"iss": "kfn", "sub": USER, "aud": service, "exp": now + max(self.lifetime, 1), "nbf": now - 10, "iat": now, "jti": "x"}
        text = f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps({**claims, 'access': access}).encode())}"
        r, s = decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@dataclass
class Running:
    host: str  # with its port
    folder: Path  # its storage
    log: Path
    tokens: TokenServer | None = None

    def blob(self, digest: str) -> Path:
        """Where it keeps a blob: remove it to see what a garbage-collected one does."""
        value = digest.removeprefix("sha256:")
        return self.folder / "docker/registry/v2/blobs/sha256" / value[:2] / value / "data"

    def requests(self) -> list[str]:
        """`METHOD path` of what was asked so far."""
        found = re.findall(r'"(GET|HEAD|POST|PUT|PATCH|DELETE) (\S+) HTTP/1', self.log.read_text())
        return [f"{method} {path}" for method, path in found]


def _config(folder: Path, auth: Auth, tokens: TokenServer | None, tls: Issued | None, address: str) -> str:
    http: dict[str, object] = {"addr": f"{address}:0", "secret": "for tests"}
    if tls:
        cert, key = tls.write(folder / "tls")
        http["tls"] = {"certificate": cert, "key": key}
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": http,
    }
    if auth == "basic":
        (folder / "htpasswd").write_text(f"{USER}:{_BCRYPT}\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    elif tokens:
        (folder / "token.pem").write_bytes(tokens.pem)
        realm = f"http://{tokens.host}/token"
        config["auth"] = {"token": {"realm": realm, "service": "test", "issuer": "kfn", "rootcertbundle": str(folder / "token.pem")}}
    return json.dumps(config)  # YAML reads JSON


def distribution_3() -> str:
    """The registry of the distribution project's version 3, if somebody has built it:
    GOBIN=~/.cache/kfn-tools/distribution-v3.0.0 go install github.com/distribution/distribution/v3/cmd/registry@v3.0.0"""
    built = sorted(Path.home().glob(".cache/kfn-tools/distribution-v3*/registry"))
    if not built:
        pytest.skip("no registry of version 3 in ~/.cache/kfn-tools (tests/peers/registry.py says how to build it)")
    return str(built[-1])


@asynccontextmanager
async def registry(
    tmp_path: Path, auth: Auth = "none", program: str = "docker-registry", tls: Issued | None = None, address: str = "127.0.0.1"
) -> AsyncIterator[Running]:
    """A registry with its storage under `tmp_path`; it ends with the block. Skips the test where the program is missing. `address` may
    be that of a network that we made, where nodes of a test cluster reach it."""
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed (Debian's package docker-registry)")
    count = len(list(tmp_path.glob("registry-*")))
    folder = tmp_path / f"registry-{count}"
    folder.mkdir()
    async with AsyncExitStack() as stack:
        tokens = TokenServer(Authority()) if auth == "token" else None
        if tokens:
            tokens.host = await stack.enter_async_context(serve(tokens))
        (folder / "config.yml").write_text(_config(folder, auth, tokens, tls, address))
        log = folder / "log"
        with log.open("wb") as out:
            child = await asyncio.create_subprocess_exec(
                program, "serve", str(folder / "config.yml"), stdout=out, stderr=out, env={"OTEL_TRACES_EXPORTER": "none"}
            )
        try:
            yield Running(await _listening(child, log), folder / "data", log, tokens)
        finally:
            if child.returncode is None:
                child.send_signal(signal.SIGKILL)
            await child.wait()


async def _listening(child: asyncio.subprocess.Process, log: Path) -> str:
    async with asyncio.timeout(STARTS_WITHIN):
        while True:
            found = _LISTENING.search(log.read_text())
            if found:
                return found[1]
            assert child.returncode is None, f"the registry ended: {log.read_text()}"
            await asyncio.sleep(0.02)


async def skopeo(*args: str, timeout: float = 60.0) -> str:
    """What skopeo prints. Fails with its words if it fails."""
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    child = await asyncio.create_subprocess_exec("skopeo", *args, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    async with asyncio.timeout(timeout):
        out, err = await child.communicate()
    assert child.returncode == 0, err.decode()
    return out.decode()
