"""Asks an instance whether it is well: HTTP, TCP or a command. One attempt, bounded; how often and what follows is `health.py`'s."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import anyio

from kfn.api.core import Container, HTTPGetAction, IntOrString, Probe

Run = Callable[[list[str]], Awaitable[int]]


def port_of(container: Container, wanted: IntOrString | None, port: int) -> int:
    """The real port behind a probe's port: the declared one, its name, or 0 mean the port that this pod was given."""
    if isinstance(wanted, str) and not wanted.isdecimal():
        return port
    number = int(wanted or 0)
    declared = container.ports[0].container_port if container.ports else 0
    return port if number in (0, declared) else number


async def attempt(probe: Probe, container: Container, host: str, port: int, run: Run) -> str | None:
    """None if it is well, else what is wrong."""
    try:
        with anyio.fail_after(max(1, probe.timeout_seconds)):
            if probe.http_get:
                return await _http(probe.http_get, host, port_of(container, probe.http_get.port, port))
            if probe.exec:
                code = await run(probe.exec.command)
                return None if code == 0 else f"command {probe.exec.command} exited with {code}"
            tcp = probe.tcp_socket.port if probe.tcp_socket else probe.grpc.port if probe.grpc else 0
            return await connects(host, port_of(container, tcp, port))
    except TimeoutError:
        return f"no answer within {max(1, probe.timeout_seconds)} s"


async def connects(host: str, port: int) -> str | None:
    """Whether something accepts a connection there."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
            if sock.getsockname() == sock.getpeername():  # TCP can meet itself on a free local port
                return f"dial tcp {host}:{port}: nothing listens"
    except OSError as error:  # this process may also have no files left
        return f"dial tcp {host}:{port}: {error.strerror or error}"
    return None


async def _http(action: HTTPGetAction, host: str, port: int) -> str | None:
    path = action.path or "/"
    if not path.startswith("/"):
        path = "/" + path
    headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/1.36", "Connection": "close", "K-Kubelet-Probe": "queue"}
    headers |= {h.name: h.value for h in action.http_headers}
    head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        return f"Get http://{host}:{port}{path}: {error.strerror or error}"
    try:
        writer.write(head.encode("latin-1", "replace"))
        line = await reader.readline()
    except (OSError, ValueError) as error:
        return f"Get http://{host}:{port}{path}: {error}"
    finally:
        writer.transport.abort()
    parts = line.split()
    code = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
    return None if 200 <= code < 400 else f"HTTP probe failed with statuscode: {code}"
