"""A nats-server that takes TLS with a client's certificate and an nkey, as somebody else's may; the real program, on loopback."""

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from embedded.nats import find_binary
from tests.fakes.authority import Authority


@asynccontextmanager
async def secured(dir: Path, authority: Authority, nkey: str) -> AsyncIterator[str]:
    """Its URL; the only user is the one with that public key."""
    dir.mkdir()
    cert, key = authority.issue("127.0.0.1").write(dir / "tls")
    (dir / "ca.pem").write_bytes(authority.pem)
    (dir / "nats.conf").write_text(
        f"""listen: "127.0.0.1:-1"
ports_file_dir: {json.dumps(str(dir))}
authorization {{ users: [ {{ nkey: {nkey}, permissions: {{ subscribe: {{ deny: "secret.>" }} }} }} ] }}
tls {{ cert_file: {json.dumps(cert)}, key_file: {json.dumps(key)}, ca_file: {json.dumps(str(dir / "ca.pem"))}, verify: true }}
"""
    )
    child = await asyncio.create_subprocess_exec(
        str(find_binary()), "--config", str(dir / "nats.conf"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield await _url(dir, child)
    finally:
        child.terminate()
        await child.wait()


async def _url(dir: Path, child: asyncio.subprocess.Process) -> str:
    with anyio.fail_after(30):
        while True:
            assert child.returncode is None, "nats-server ended"
            for file in dir.glob("nats-server_*.ports"):
                try:
                    url = str(json.loads(file.read_text())["nats"][0])
                    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))):
                        return url
                except (ValueError, OSError):  # half written, or not listening yet
                    pass
            await anyio.sleep(0.02)
