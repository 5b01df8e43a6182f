"""Messages of a NATS server of somebody else reach a function through a Broker, from the command line on and through kill -9 of it."""

import base64
import os
import signal
from pathlib import Path

import anyio
import pytest

from embedded.nats import NatsServer, nats_server
from eventing.connection import Connection
from kfn.api import kinds
from kfn.api.core import Secret
from kfn.api.meta import ObjectMeta
from kfn.kube import config
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport
from tests.e2e.harness import Platform, eventually, function, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SINK = """
import os
import kfn

@kfn.cloudevent
def handle(event):
    with open(os.environ["OUT"], "a") as out:
        out.write(f"{event.type} {event.id.partition(':')[0]} {event.data.decode() if isinstance(event.data, bytes) else event.data}\\n")
"""


async def secret(platform: Platform, server: NatsServer) -> None:
    transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
    try:
        data = {name: base64.b64encode(value.encode()).decode() for name, value in (("user", server.user), ("password", server.password))}
        await Client(transport).create(
            kinds.SECRET, Secret(metadata=ObjectMeta(name="kfn-sources", namespace="default"), data=data), "default"
        )
    finally:
        await transport.aclose()


async def quiet(error: Exception) -> None: ...


async def test_messages_of_nats_reach_a_function_and_a_killed_server_loses_none_of_a_stream(tmp_path: Path) -> None:
    out = tmp_path / "seen.txt"

    def seen() -> set[str]:
        return {line.split()[-1] for line in out.read_text().splitlines()} if out.exists() else set()

    async with running(tmp_path / "data") as platform, nats_server(tmp_path / "other") as server:
        client = Connection()
        try:
            await client.connect(
                server.url, user=server.user, password=server.password, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=quiet
            )
            stream = client.jetstream()
            await stream.add_stream(name="ORDERS", subjects=["orders.>"])
            await platform.kfn("deploy", str(function(tmp_path / "sink", SINK)), "-e", f"OUT={out}")
            await platform.kfn("broker", "create", "default")
            await platform.kfn("trigger", "create", "t", "--filter", "type=dev.kfn.sources.nats", "--sink", "ksvc:sink")
            await secret(platform, server)
            login = ("--server", server.url, "--user-key", "user", "--password-key", "password", "--sink", "broker:default")
            await platform.kfn("source", "nats", "create", "orders", "--subject", "orders.>", "--stream", "ORDERS", *login)
            await platform.kfn("source", "nats", "create", "news", "--subject", "news", *login)
            assert "ORDERS, consumer kfn_" in (await platform.kfn("source", "nats", "describe", "orders")).out
            await client.publish("news", b"hello")
            for n in range(10):
                await stream.publish("orders.eu", b"%d" % n)
            os.kill(server.pid, signal.SIGKILL)
            with anyio.fail_after(60):
                while server.restarts == 0 or not client.is_connected:
                    await anyio.sleep(0.02)
            for n in range(10, 20):
                await stream.publish("orders.eu", b"%d" % n, timeout=30)

            async def all_came() -> bool:
                return seen() == {"hello", *map(str, range(20))}

            await eventually(all_came, 120, "not all messages came")
            await platform.kfn("source", "nats", "delete", "orders")
            left = (await platform.kfn("source", "nats", "list")).out
            assert "news" in left
            assert "orders" not in left
        finally:
            await client.end(3)
        await kafka(platform)


async def kafka(platform: Platform) -> None:
    """What is wrong is said at the command line."""
    create = ("source", "kafka", "create", "records", "--topic", "orders", "--sink", "broker:default", "--no-wait")
    await platform.kfn(*create, "--server", "127.0.0.1:9")

    async def told() -> bool:
        return "no broker answers at 127.0.0.1:9" in (await platform.kfn("source", "kafka", "describe", "records")).out

    await eventually(told, 60, "the condition does not name the broker that is away")
