"""A real API server over TLS with a kubeconfig, and the real kubectl to talk to it."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from embedded import tls
from embedded.api.app import open_server
from embedded.api.http import http_app
from embedded.api.local import LocalTransport
from embedded.api.server import ApiServer
from kfn.kube.client import Client
from kfn.observe.web import Certificate, serving

TOKEN = "a-token-for-tests"
KUBECTL = shutil.which("kubectl")
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not on the PATH")


@dataclass
class Served:
    server: ApiServer
    client: Client
    url: str
    ca_pem: str
    kubeconfig: Path
    home: Path

    async def kubectl(self, *arguments: str, stdin: str = "", fails: bool = False, **env: str) -> str:
        """What kubectl printed. Fails the test when it exits with an error, or with `fails` when it does not."""
        process = await asyncio.create_subprocess_exec(
            KUBECTL or "kubectl", *arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.home), **env},
        )  # fmt: skip
        async with asyncio.timeout(30):
            out, err = await process.communicate(stdin.encode())
        text = out.decode() + err.decode()
        assert (process.returncode != 0) is fails, f"kubectl {' '.join(arguments)} exited {process.returncode}:\n{text}"
        return text

    async def apply(self, *objects: dict[str, Any]) -> str:
        return await self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.kubectl(*arguments, "-o", "json"))


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[Served]:
    certs = tls.ensure(path / "tls", ["127.0.0.1", "localhost"])
    async with (
        open_server(path / "state.db") as server,
        serving(http_app(server, TOKEN), certificate=Certificate(certs.cert_path, certs.key_path), drain=1) as port,
    ):
        url = f"https://127.0.0.1:{port}"
        ca = path / "ca.crt"
        ca.write_text(certs.ca_pem)
        kubeconfig = path / "kubeconfig"
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "kfn", "cluster": {"server": url, "certificate-authority": str(ca)}}],
                    "users": [{"name": "kfn", "user": {"token": TOKEN}}],
                    "contexts": [{"name": "kfn", "context": {"cluster": "kfn", "user": "kfn"}}],
                    "current-context": "kfn",
                }
            )
        )
        try:
            yield Served(server, Client(LocalTransport(server)), url, certs.ca_pem, kubeconfig, path)
        finally:
            server.end_watches()
