"""Opening connections to instances: for a request, and to find out whether an instance answers at all.

A probe's connection is kept and carries the first request, so that probing costs a cold start nothing.
"""

import asyncio
from typing import TYPE_CHECKING

import anyio

from gateway.exchange import Exchange
from gateway.http1.upstream import UpstreamConnection
from gateway.instance import Instance
from gateway.line import Line
from gateway.policy import ProbeBy

if TYPE_CHECKING:
    from gateway.chain import Chain

PROBE_HEAD = b"GET %b HTTP/1.1\r\nHost: %b\r\nUser-Agent: kfn-gateway-probe\r\nConnection: close\r\n%b\r\n"


async def connect(instance: Instance, timeout: float) -> UpstreamConnection:
    """A new connection. Raises OSError, TimeoutError included."""
    loop = asyncio.get_running_loop()
    address = instance.address
    with anyio.fail_after(timeout):
        _, connection = await loop.create_connection(lambda: UpstreamConnection(instance), address.host, address.port)
    return connection


async def for_exchange(chain: "Chain", exchange: Exchange, instance: Instance) -> None:
    try:
        connection = await connect(instance, chain.settings.connect)
    except OSError as error:
        if not exchange.ended:
            exchange.not_connected(instance, error)
        return
    if exchange.line is not None:
        exchange.line.reached(instance)
    if exchange.ended:
        instance.put(connection, chain.clock())  # the client left meanwhile; somebody else will use it
    elif connection.open and connection.silent:
        exchange.connected(connection)
    else:
        connection.close()
        exchange.not_connected(instance, ConnectionResetError("the connection was closed, or spoken on, before the request"))


async def probing(chain: "Chain", line: Line, instance: Instance) -> None:
    """Probe one instance until it answers, is seen ready, is gone, or nobody waits for it and it has had its time."""
    settings = chain.settings
    pause = settings.probe_first
    began = chain.clock()
    try:
        while not instance.usable and not instance.terminating:
            how = line.policy.probe
            if how.direct or instance.refused:
                try:
                    connection = await _probe(instance, how, settings.connect)
                except OSError:
                    pass
                else:
                    if connection is not None:
                        instance.put(connection, chain.clock())
                    line.reached(instance)
                    return
            if not line.waiting and chain.clock() - began > settings.probe_for:
                return
            await anyio.sleep(pause)
            pause = min(pause * 1.25, settings.probe_most)
    finally:
        instance.probing = False


async def _probe(instance: Instance, how: ProbeBy, timeout: float) -> UpstreamConnection | None:
    """Raises OSError when the instance is not ready. Returns the connection if it can be used further and is nobody's yet."""
    if instance.shared is not None:
        await instance.shared.probe(how, timeout)
        return None
    if not how.path:
        return await connect(instance, timeout)
    address = instance.address
    with anyio.fail_after(timeout):
        async with await anyio.connect_tcp(address.host, address.port) as stream:
            host = f"[{address.host}]" if ":" in address.host else address.host
            extra = "".join(f"{name}: {value}\r\n" for name, value in how.headers)
            await stream.send(PROBE_HEAD % (how.path.encode(), f"{host}:{address.port}".encode(), extra.encode()))
            try:
                answer = await stream.receive(64)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                raise ConnectionResetError("the probe was not answered") from None
    status = answer[9:12]
    if not answer.startswith(b"HTTP/1.") or not b"200" <= status < b"400":
        raise ConnectionRefusedError(f"the readiness probe was answered {status!r}")
    return None
