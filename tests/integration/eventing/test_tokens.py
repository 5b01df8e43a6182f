"""Brokers and Channels that ask publishers for a token: over real sockets, with the Secret there, wrong, changed and gone."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from eventing import gate
from kfn.api import eventing as api
from kfn.api import kinds, messaging, names
from kfn.api.core import Secret
from kfn.api.meta import Destination, KReference, ObjectMeta
from kfn.cloudevents import Event, http
from tests.fakes.sink import sink
from tests.integration.eventing.stage import FAST, Stage, stage

ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdef"
EVENT = {"specversion": "1.0", "source": "/test", "type": "test"}


def secret(bus: Stage, tokens: Mapping[str, str], namespace: str = "default") -> None:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in tokens.items()}
    bus.kube.put(kinds.SECRET, Secret(metadata=ObjectMeta(name="kfn-events", namespace=namespace), data=data))


def broker(bus: Stage, namespace: str = "default", name: str = "default") -> None:
    meta = ObjectMeta(name=name, namespace=namespace, annotations={names.AUTH: "kfn-events"})
    bus.kube.put(kinds.BROKER, api.Broker(metadata=meta, spec=api.BrokerSpec(delivery=FAST)))


async def post(bus: Stage, id: str, token: str | None, path: str = "/default/default") -> tuple[int, bytes]:
    headers, body = http.binary(Event({**EVENT, "id": id}, b""))
    if token is not None:
        headers.append(("authorization", token))
    answer = await bus.post(path, headers, body)
    return answer.status, answer.header(b"www-authenticate")


async def becomes(bus: Stage, id: str, token: str, status: int) -> None:
    with anyio.fail_after(60):
        while (await post(bus, id, f"Bearer {token}"))[0] != status:
            await anyio.sleep(0.02)


def condition(bus: Stage) -> Any:
    return next(c for c in bus.kube.the(kinds.BROKER, "default").status.conditions if c.type == "EventPoliciesReady")


class TestPublishers:
    async def test_only_one_who_has_a_token_gets_in_and_the_answer_says_how(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus:
            secret(bus, {"alice": ALICE, "bob": BOB + "\n"})
            broker(bus)
            await bus.ready(kinds.BROKER, "default")
            assert condition(bus).reason == "TokenRequired"
            assert await post(bus, "1", None) == (401, b'Bearer realm="kfn events"')
            for wrong in ("Bearer", "Bearer ", "Basic YTpi", ALICE):
                assert (await post(bus, "1", wrong))[0] == 401, wrong
            other = bus.eventing._courier.passes.of("another")
            for wrong in (ALICE[:-1], ALICE + "x", "\xff" * 20, bus.settings.token, f"kfn-pass.{'0' * 64}", other):
                status, challenge = await post(bus, "1", f"Bearer {wrong}")
                assert (status, b"invalid_token" in challenge) == (401, True), wrong
            assert await post(bus, "1", f"Bearer {ALICE}") == (202, b"")
            assert await post(bus, "2", f"bearer {BOB}") == (202, b"")
            told = bus.eventing.metrics.exposition().decode()
            assert 'status="401"' in told and ALICE not in told

    async def test_a_secret_that_is_not_there_shuts_the_broker_and_one_that_changes_counts(self, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(gate, "AGE", 0.2)
        async with stage(tmp_path) as bus:
            broker(bus)
            await bus.ready(kinds.BROKER, "default", "False")
            assert "Secret default/kfn-events does not exist" in condition(bus).message
            assert (await post(bus, "1", f"Bearer {ALICE}"))[0] == 503
            secret(bus, {"alice": ALICE})
            await becomes(bus, "2", ALICE, 202)
            secret(bus, {"bob": BOB})
            await becomes(bus, "3", ALICE, 401)
            assert (await post(bus, "4", f"Bearer {BOB}"))[0] == 202
            bus.kube.remove(kinds.SECRET, "kfn-events")
            await becomes(bus, "5", BOB, 503)

    async def test_a_channel_asks_too(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus:
            secret(bus, {"alice": ALICE})
            meta = ObjectMeta(name="c", namespace="default", annotations={names.AUTH: "kfn-events"})
            bus.kube.put(kinds.CHANNEL, messaging.Channel(metadata=meta))
            await bus.ready(kinds.CHANNEL, "c")
            assert (await post(bus, "1", None, "/default/channels/c"))[0] == 401
            assert (await post(bus, "1", f"Bearer {ALICE}", "/default/channels/c"))[0] == 202


class TestOwnSenders:
    async def test_a_trigger_reaches_a_guarded_broker_of_its_namespace_and_none_of_another(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as got:
            secret(bus, {"alice": ALICE})
            secret(bus, {"bob": BOB}, "other")
            await bus.broker("open")
            broker(bus)
            broker(bus, "other")
            await bus.ready(kinds.BROKER, "default")
            await bus.trigger("t", got.url)
            await bus.trigger("inside", f"{bus.eventing.ingress_url}/default/default", broker="open")
            await bus.trigger("outside", f"{bus.eventing.ingress_url}/other/default", broker="open")
            await bus.trigger("elsewhere", got.url, broker="open")
            await bus.publish_surely("1", broker="open")
            await got.wait(2)
            assert all("authorization" not in dict(one.headers) for one in got.got)  # the pass goes to our own door, the token nowhere
            with anyio.fail_after(40):
                while not (dead := await bus.dead_letters("open")):
                    await anyio.sleep(0.05)
            assert [(one.id, one.attributes["knativeerrorcode"]) for one in dead] == [("1", "401")]

    async def test_a_reply_to_a_guarded_broker_of_another_namespace_is_not_stored_behind_its_door(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus:
            secret(bus, {"alice": ALICE})
            secret(bus, {"bob": BOB}, "other")
            broker(bus, "other")
            broker(bus)
            await bus.ready(kinds.BROKER, "default")
            await bus.channel("c")
            there = KReference("eventing.knative.dev/v1", "Broker", "default")
            await bus.subscription("inside", "c", reply=Destination(ref=there))
            await bus.subscription("outside", "c", reply=Destination(uri=f"{bus.eventing.ingress_url}/other/default"))
            await bus.publish_surely("1", broker="channels/c")
            with anyio.fail_after(40):
                while not (dead := await bus.dead_letters("channels/c")):
                    await anyio.sleep(0.05)
            assert [(one.id, one.attributes["knativeerrorcode"]) for one in dead] == [("1", "401")]
            info = await bus.eventing._bus.api("STREAM.INFO.KFN_default_default")
            assert info["state"]["messages"] == 1
