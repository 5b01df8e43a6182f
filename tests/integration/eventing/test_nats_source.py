"""NatsSources on a whole bus, with a second nats-server of its own as the system that they read from."""

import base64
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from embedded.nats import NatsServer, nats_server
from eventing.connection import Connection
from kfn.api import kinds, natssource
from kfn.api.core import Secret
from kfn.api.meta import DeliverySpec, Destination, ObjectMeta
from kfn.api.secretvalue import SecretKeySelector, SecretValue, TlsSpec
from kfn.api.sourced import CloudEventOverrides
from kfn.busauth import nkey
from kfn.cloudevents import Event
from kfn.cloudevents import json as structured
from kfn.cloudevents import nats as binding
from tests.fakes.authority import Authority
from tests.fakes.sink import Got, Say, sink
from tests.integration.eventing.stage import Stage, stage, until
from tests.peers.nats import secured

OFTEN = DeliverySpec(retry=1000, backoff_policy="linear", backoff_delay="PT0.01S")


def value(key: str) -> SecretValue:
    return SecretValue(SecretKeySelector("kfn-sources", key))


def put(bus: Stage, server: NatsServer, where: Destination, subject: str = "orders.>", **spec: Any) -> None:
    """A source that reads from `server`, whose password is in a Secret."""
    keep(bus, user=server.user.encode(), password=server.password.encode())
    auth = natssource.NatsAuth(user=value("user"), password=value("password"))
    given = {"servers": [server.url], "subject": subject, "sink": where, "auth": auth, **spec}
    bus.kube.put(
        kinds.NATS_SOURCE,
        natssource.NatsSource(metadata=ObjectMeta(name="orders", namespace="default"), spec=natssource.NatsSourceSpec(**given)),
    )


def keep(bus: Stage, **values: bytes) -> None:
    data = {key: base64.b64encode(value).decode() for key, value in values.items()}
    bus.kube.put(kinds.SECRET, Secret(metadata=ObjectMeta(name="kfn-sources", namespace="default"), data=data))


def condition(bus: Stage, type_: str) -> tuple[str, str, str]:
    found = bus.kube.the(kinds.NATS_SOURCE, "orders").status.conditions
    return next(((c.status, c.reason, c.message) for c in found if c.type == type_), ("", "", ""))


@asynccontextmanager
async def talking(server: NatsServer) -> AsyncIterator[Connection]:
    """Somebody who publishes there."""
    client = Connection()

    async def quiet(error: Exception) -> None: ...

    await client.connect(
        server.url, user=server.user, password=server.password, max_reconnect_attempts=-1, reconnect_time_wait=0.05, error_cb=quiet
    )
    try:
        yield client
    finally:
        await client.end(3)


class TestWhatBecomesAnEvent:
    async def test_plain_messages_and_events_of_both_modes_of_a_core_subscription(self, tmp_path: Path) -> None:
        async with stage(tmp_path / "bus") as bus, nats_server(tmp_path / "other") as server, sink() as there, talking(server) as client:
            put(bus, server, Destination(uri=there.url), queue_group="shop", ce_overrides=CloudEventOverrides({"team": "shop"}))
            source = await bus.ready(kinds.NATS_SOURCE, "orders")
            trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            await client.publish("orders.eu", b'{"n": 1}', headers={"Content-Type": "application/json", "traceparent": trace})
            whole = Event({"specversion": "1.0", "id": "b1", "source": "/shop", "type": "made"}, b"hello")
            await client.publish("orders.us", b"hello", headers=binding.headers(whole))
            await client.publish("orders.us", structured.dumps(whole), headers={"Content-Type": "application/cloudevents+json"})
            await client.publish("orders.us", b"broken", headers={"ce-specversion": "1.0", "ce-id": "x"})
            got = [one.event for one in await there.wait(4)]
            [plain] = [one for one in got if one.attributes.get("subject") == "orders.eu"]
            assert (plain.type, plain.source) == ("dev.kfn.sources.nats", f"{server.url}/orders.eu")
            assert (plain.data, plain.datacontenttype, plain.attributes["team"]) == (b'{"n": 1}', "application/json", "shop")
            made = [one for one in got if one.type == "made"]
            assert [(one.id, one.source, one.data, one.attributes["team"]) for one in made] == [("b1", "/shop", b"hello", "shop")] * 2
            [broken] = [one for one in got if one.data == b"broken"]
            assert broken.type == "dev.kfn.sources.nats", "what is no valid event is not lost"
            assert {one.headers["traceparent"][3:35] for one in there.got if one.id == plain.id} == {trace[3:35]}
            assert source.status.ce_attributes[0].source == f"{server.url}/orders.%3E"
            counted = 'kfn_source_events_total{kind="nats",namespace="default",source="orders",what="delivered"} 4.0'
            await until(lambda: counted in bus.eventing.metrics.exposition().decode(), "they are counted")


class TestJetStream:
    async def test_kill_9_of_the_server_and_a_restart_of_eventing_lose_no_message(self, tmp_path: Path) -> None:
        async with nats_server(tmp_path / "other") as server, sink() as there, talking(server) as client:
            stream = client.jetstream()
            await stream.add_stream(name="ORDERS", subjects=["orders.>"])
            down = True

            async def answer(got: Got) -> Say:
                return Say(503 if down else 204)

            there.answer = answer
            for n in range(20):
                await stream.publish("orders.eu", b"%d" % n)
            async with stage(tmp_path / "bus") as bus:
                jetstream = natssource.JetStreamSpec("ORDERS", "kfn")
                put(bus, server, Destination(uri=there.url), jetstream=jetstream, delivery=OFTEN)
                await bus.ready(kinds.NATS_SOURCE, "orders")
                await there.wait(20)
                assert (await stream.consumer_info("ORDERS", "kfn")).num_ack_pending == 20, "none is acknowledged"
                kube = bus.kube
            async with nats_server(tmp_path / "bus") as own:
                again = Stage(own, tmp_path / "bus", kube, bus.settings, bus.http)
                there.got.clear()
                async with again.running():
                    await until(lambda: len({one.id for one in there.got}) == 20, "what was in work has come again")
                    os.kill(server.pid, signal.SIGKILL)
                    await until(lambda: server.restarts == 1 and client.is_connected, "the other server is there again")
                    there.got.clear()
                    down = False
                    for n in range(20, 30):
                        await stream.publish("orders.eu", b"%d" % n)
                    await until(lambda: {int(one.body) for one in there.got} >= set(range(30)), "each has come")
                    assert {one.id for one in there.got} == {f"ORDERS:{n}" for n in range(1, 31)}
                    with anyio.fail_after(30):
                        while (await stream.consumer_info("ORDERS", "kfn")).num_ack_pending:
                            await anyio.sleep(0.05)
                    assert condition(again, "Connected")[0] == "True"

    async def test_a_message_that_the_sink_refuses_is_held_or_goes_to_the_dead_letter_sink_and_the_next_one_passes(
        self, tmp_path: Path
    ) -> None:
        async with (
            stage(tmp_path / "bus") as bus, nats_server(tmp_path / "other") as server, talking(server) as client,
            sink() as there, sink() as dead,
        ):  # fmt: skip

            async def answer(got: Got) -> Say:
                return Say(400, body=b"no") if got.body == b"poison" else Say()

            there.answer = answer
            stream = client.jetstream()
            await stream.add_stream(name="ORDERS", subjects=["orders.>"])
            put(bus, server, Destination(uri=there.url), jetstream=natssource.JetStreamSpec("ORDERS", "kfn"))
            await bus.ready(kinds.NATS_SOURCE, "orders")
            await stream.publish("orders.eu", b"poison")
            await stream.publish("orders.eu", b"fine")
            await until(lambda: b"fine" in [one.body for one in there.got], "the next one passes")
            assert (await stream.consumer_info("ORDERS", "kfn")).num_ack_pending == 1, "the other is held"
            delivery = DeliverySpec(dead_letter_sink=Destination(uri=dead.url))
            put(bus, server, Destination(uri=there.url), jetstream=natssource.JetStreamSpec("ORDERS", "kfn"), delivery=delivery)
            letter = (await dead.wait(1))[0].event
            assert (letter.data, letter.attributes["knativeerrorcode"]) == (b"poison", "400")
            assert letter.attributes["knativeerrordest"] == there.url

    async def test_a_stream_that_is_not_there_is_said_and_waited_for(self, tmp_path: Path) -> None:
        async with stage(tmp_path / "bus") as bus, nats_server(tmp_path / "other") as server, sink() as there, talking(server) as client:
            put(bus, server, Destination(uri=there.url), jetstream=natssource.JetStreamSpec("ORDERS", "kfn"))
            await until(lambda: "there is no stream 'ORDERS'" in condition(bus, "Connected")[2], "the condition says so")
            await client.jetstream().add_stream(name="ORDERS", subjects=["orders.>"])
            await client.jetstream().publish("orders.eu", b"1")
            await bus.ready(kinds.NATS_SOURCE, "orders")
            await there.wait(1)


class TestWhoWeAre:
    async def test_a_wrong_password_and_a_missing_secret_are_said_without_being_shown(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        async with stage(tmp_path / "bus") as bus, nats_server(tmp_path / "other") as server, sink() as there:
            put(bus, server, Destination(uri=there.url))
            bus.kube.remove(kinds.SECRET, "kfn-sources")
            await until(lambda: condition(bus, "SecretProvided")[1] == "NotFound", "the secret is missed")
            assert "spec.auth.user.secretKeyRef: Secret default/kfn-sources" in condition(bus, "SecretProvided")[2]
            keep(bus, user=server.user.encode(), password=b"wr0ng")
            await until(lambda: "Authorization" in condition(bus, "Connected")[2], "the server refused")
            assert "wr0ng" not in caplog.text + str(bus.kube.the(kinds.NATS_SOURCE, "orders"))

    async def test_an_nkey_over_tls_with_a_certificate_of_our_own_reads_what_it_may(self, tmp_path: Path) -> None:
        authority = Authority()
        own = authority.issue("client")
        seed = b"SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y"
        public = nkey.from_seed(seed.decode()).public
        async with stage(tmp_path / "bus") as bus, sink() as there, secured(tmp_path / "other", authority, public) as url:
            keep(bus, seed=seed + b"\n", ca=authority.pem, crt=own.cert, key=own.key)
            tls = TlsSpec(enable=True, cert=value("crt"), key=value("key"), ca_cert=value("ca"))
            spec = natssource.NatsSourceSpec(
                sink=Destination(uri=there.url), servers=[url], subject="orders", tls=tls, auth=natssource.NatsAuth(nkey=value("seed"))
            )
            bus.kube.put(
                kinds.NATS_SOURCE, natssource.NatsSource(metadata=ObjectMeta(name="orders", namespace="default"), spec=spec)
            )  # fmt: skip
            await bus.ready(kinds.NATS_SOURCE, "orders")
            denied = msgspec.structs.replace(spec, subject="secret.x")
            bus.kube.put(
                kinds.NATS_SOURCE, natssource.NatsSource(metadata=ObjectMeta(name="orders", namespace="default"), spec=denied)
            )  # fmt: skip
            await until(lambda: "permissions violation" in condition(bus, "Connected")[2].lower(), "what is not allowed is said")

    async def test_a_server_without_tls_is_told_nothing_where_tls_is_asked_for(self, tmp_path: Path) -> None:
        async with stage(tmp_path / "bus") as bus, nats_server(tmp_path / "other") as server, sink() as there:
            put(bus, server, Destination(uri=there.url), tls=TlsSpec(enable=True))
            await until(lambda: "offers no TLS" in condition(bus, "Connected")[2], "the condition says so")
