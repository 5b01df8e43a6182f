"""A gateway with an HTTPS port, its authority, and clients that trust it: Python's, curl's and openssl's."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from tests.fakes.authority import Authority
from tests.fakes.routed import HOST, Cluster, HttpClient, Routed, routed


@dataclass
class Secure:
    gw: Routed
    authority: Authority
    folder: Path  # the default certificate is in here
    ca: Path

    @property
    def port(self) -> int:
        https = self.gw.gateway.https
        assert https is not None
        return https.port

    @property
    def certificates(self) -> Any:
        https = self.gw.gateway.https
        assert https is not None
        return https.certificates

    @property
    def connections(self) -> int:
        assert self.gw.gateway.chain is not None
        return len(self.gw.gateway.chain.connections)

    async def client(self, host: str = HOST, context: ssl.SSLContext | None = None) -> HttpClient:
        context = context or self.authority.trusting()
        return HttpClient(*await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=host))

    async def raw(self) -> HttpClient:
        return HttpClient(*await asyncio.open_connection("127.0.0.1", self.port))

    async def shown(self, host: str = HOST) -> int:
        """The serial number of the certificate that a new client sees."""
        from cryptography import x509

        client = await self.client(host)
        shown = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        await client.close()
        return x509.load_der_x509_certificate(shown).serial_number

    async def curl(self, *args: str, host: str = HOST) -> str:
        return await command("curl", "-sS", "--cacert", str(self.ca), "--resolve", f"{host}:{self.port}:127.0.0.1", *args)

    def url(self, path: str = "/", host: str = HOST) -> str:
        return f"https://{host}:{self.port}{path}"

    async def s_client(self, *args: str, say: bytes = b"") -> str:
        return await command("openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", *args, say=say)


async def command(*args: str, say: bytes = b"") -> str:
    """What a program prints on both of its outputs."""
    process = await asyncio.create_subprocess_exec(*args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with anyio.fail_after(60):
        out, _ = await process.communicate(say)
    return out.decode(errors="replace")


@asynccontextmanager
async def secure(tmp_path: Path, cluster: Cluster | None = None, also: Sequence[str] = (), **settings: Any) -> AsyncIterator[Secure]:
    """A running gateway with a certificate for `*.default.localhost` from files, and one for each name in `also`."""
    authority = Authority()
    folder, ca = tmp_path / "default", tmp_path / "ca.pem"
    ca.write_bytes(authority.pem)
    files = (authority.issue("*.default.localhost").write(folder), *(authority.issue(name).write(tmp_path / name) for name in also))
    async with routed(cluster, **{"tls_port": 0, "tls_files": files, **settings}) as gw:
        yield Secure(gw, authority, folder, ca)
