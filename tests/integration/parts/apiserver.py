"""The embedded API server as a process of its own, for parts that are processes too: `python -m tests.integration.parts.apiserver DIR`.

It prints the path of a kubeconfig. Started again with the same DIR and PORT it has what it had: an API server that was away.
"""

import sys
from pathlib import Path

import anyio

from embedded import datadir, tls
from embedded.api.app import open_server
from embedded.api.http import http_app
from kfn.observe import web

TOKEN = "a-token-for-tests"


async def run(data: Path, port: int) -> None:
    certificate = tls.ensure(data / "tls", ["127.0.0.1", "localhost"])
    pem = web.Certificate(certificate.cert_path, certificate.key_path)
    sock = web.listen("127.0.0.1", port)
    async with open_server(data / "state.db") as server, web.serving(http_app(server, TOKEN), sock=sock, certificate=pem, drain=1) as port:
        datadir.write_kubeconfig(data, server=f"https://127.0.0.1:{port}", ca_pem=certificate.ca_pem, token=TOKEN)
        print(f"ready {port} {data / 'kubeconfig'}", flush=True)
        try:
            await anyio.sleep_forever()
        finally:
            server.end_watches()


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    anyio.run(run, Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
