"""The proxies of the gateway's benchmark, each in front of the same upstream: kfn's gateway, Go's httputil.ReverseProxy, nginx.

All are set as for production and as alike as their settings allow: connections to the upstream are kept, client connections too, nothing
is logged, the client's Host is passed on and X-Forwarded-* is added. What is not installed is left out, with a line that says so.
"""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.peers.processes import Child, Cpus, Failed, started

GO_SOURCE = Path(__file__).parent / "goproxy"
HINTS = {"wrk": "apt-get install wrk", "nginx": "apt-get install nginx-light", "go": "apt-get install golang, or https://go.dev/dl"}
NGINX = """daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_buffer_size 128k;
    proxy_buffers 16 8k;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream instance {{
        server 127.0.0.1:{upstream};
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=2048{reuse};
        location / {{
            proxy_pass http://instance;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Host $host;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Peer:
    """A server to be measured. `url` has no path."""

    name: str
    port: int
    child: Child


def start_all(stack: ExitStack, upstream: int, cpus: Cpus, workers: int) -> list[Peer]:
    """Every proxy that this machine can run, on these cores, with so many workers where that can be said."""
    peers = [stack.enter_context(kfn(upstream, cpus))]
    if program := goproxy():
        peers.append(stack.enter_context(go(program, upstream, cpus, workers)))
    if shutil.which("nginx"):
        peers.append(stack.enter_context(nginx(upstream, cpus, workers)))
    return peers


@contextmanager
def bare(cpus: Cpus) -> Iterator[Peer]:
    with started("upstream", [sys.executable, "-m", "tests.benchmarks.peers.upstream"], cpus) as child:
        yield Peer("bare", int(child.line()), child)


@contextmanager
def kfn(upstream: int, cpus: Cpus, *, functions: int = 0, name: str = "kfn") -> Iterator[Peer]:
    argv = [sys.executable, "-m", "tests.benchmarks.peers.kfn_gateway", str(upstream), str(functions)]
    with started(name, argv, cpus) as child:
        yield Peer(name, int(child.line()), child)


@contextmanager
def kfn_workers(upstream: int, cpus: Cpus, workers: int) -> Iterator[Peer]:
    """The same with several processes on one port, which share the limit."""
    name = f"kfn, {workers} workers"
    argv = [sys.executable, "-m", "tests.benchmarks.peers.kfn_workers", str(upstream), str(workers)]
    with started(name, argv, cpus) as child:
        yield Peer(name, int(child.line()), child)


@contextmanager
def go(program: Path, upstream: int, cpus: Cpus, cores: int) -> Iterator[Peer]:
    with started("Go", [str(program), "-upstream", f"127.0.0.1:{upstream}"], cpus, {"GOMAXPROCS": str(cores)}) as child:
        yield Peer("Go", int(child.line()), child)


@contextmanager
def nginx(upstream: int, cpus: Cpus, workers: int) -> Iterator[Peer]:
    """From a configuration of ours in a folder of its own; it needs no rights and touches nothing of an installed site."""
    with tempfile.TemporaryDirectory(prefix="kfn-bench-nginx-") as folder:
        os.chmod(folder, 0o755)  # started by root, its workers are somebody else
        port = _free_port()
        config = Path(folder, "nginx.conf")
        reuse = " reuseport" if workers > 1 else ""  # else one worker takes most connections
        config.write_text(NGINX.format(workers=workers, folder=folder, upstream=upstream, port=port, reuse=reuse))
        with started("nginx", ["nginx", "-p", folder, "-c", str(config), "-e", "stderr"], cpus) as child:
            for _ in range(500):
                if _listens(port):
                    break
                child.check(0.01)
            yield Peer("nginx", port, child)


def goproxy() -> Path | None:
    """The Go proxy's program, built once per source and compiler; None, with a line that says why, if it cannot be had."""
    if not shutil.which("go"):
        return None
    offline = {**os.environ, "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "", "CGO_ENABLED": "0"}
    version = subprocess.run(["go", "version"], capture_output=True, text=True, env=offline, check=False).stdout
    sources = b"".join(path.read_bytes() for path in sorted(GO_SOURCE.iterdir()))
    digest = hashlib.sha256(version.encode() + sources).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kfn" / "bench"
    program = folder / f"goproxy-{digest}"
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".goproxy-{digest}-{os.getpid()}"
    build = subprocess.run(["go", "build", "-o", str(fresh), "."], cwd=GO_SOURCE, capture_output=True, text=True, env=offline, check=False)
    if build.returncode:
        print(
            f"Go's proxy is left out: it does not build with {version.strip()} (it needs Go 1.22): {build.stderr.strip()}", file=sys.stderr
        )
        return None
    fresh.rename(program)
    return program


def missing() -> list[str]:
    """Those of the programs beside us that are not installed; says so."""
    found = [name for name in HINTS if not shutil.which(name)]
    for name in found:
        print(f"{name} is not installed ({HINTS[name]}){'' if name == 'wrk' else ': its rows are left out'}", file=sys.stderr)
    return found


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def check(peer: Peer, host: str, sizes: tuple[int, ...]) -> None:
    """Each size comes through whole, both ways, before anything is measured."""
    for size in sizes:
        got = _ask(peer.port, b"GET /%d HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (size, host.encode()))
        _sound(peer, got, size)
        head = b"POST /%d HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (size, host.encode(), size)
        _sound(peer, _ask(peer.port, head + b"x" * size), 0)


def _ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got or len(got.partition(b"\r\n\r\n")[2]) < _announced(got):
            data = sock.recv(1 << 18)
            if not data:
                break
            got += data
        return got


def _announced(answer: bytes) -> int:
    for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _sound(peer: Peer, answer: bytes, size: int) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200") or len(body) != size:
        raise Failed(f"{peer.name} answered {head[:200]!r} and {len(body)} bytes; expected 200 and {size} bytes")
