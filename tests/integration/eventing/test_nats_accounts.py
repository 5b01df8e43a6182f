"""Accounts and credentials on a real nats-server: what a function may do by NATS, what it may not, and what becomes of it."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import nats.errors
import pytest

from embedded.nats import nats_server, secret
from eventing import subjects
from eventing.connection import Connection
from kfn.api import eventing as api
from kfn.api import kinds, names
from kfn.api.core import Secret
from kfn.api.meta import Destination, ObjectMeta
from kfn.api.serving import RevisionTemplate, Service, ServiceSpec
from kfn.busauth import claims
from kfn.busauth.nkey import Key
from tests.fakes.sink import sink
from tests.integration.eventing.stage import FAST, Stage, set_up, stage, until

CE = {"ce-specversion": "1.0", "ce-source": "/f", "ce-type": "test"}
_REFUSED = 0.3  # seconds to wait for an answer that must not come


def broker(bus: Stage, namespace: str, name: str = "default") -> None:
    bus.kube.put(kinds.BROKER, api.Broker(metadata=ObjectMeta(name=name, namespace=namespace), spec=api.BrokerSpec(delivery=FAST)))


def trigger(bus: Stage, namespace: str, uri: str, name: str = "t", broker: str = "default") -> None:
    spec = api.TriggerSpec(broker=broker, subscriber=Destination(uri=uri))
    bus.kube.put(kinds.TRIGGER, api.Trigger(metadata=ObjectMeta(name=name, namespace=namespace), spec=spec))


def service(bus: Stage, namespace: str, name: str = "f", *, publish: str = "default", pull: str = "") -> None:
    asked = {k: v for k, v in {names.NATS_PUBLISH: publish, names.NATS_PULL: pull}.items() if v}
    template = RevisionTemplate(metadata=ObjectMeta(annotations=asked))
    bus.kube.put(kinds.SERVICE, Service(metadata=ObjectMeta(name=name, namespace=namespace), spec=ServiceSpec(template=template)))


async def given(bus: Stage, namespace: str, key: str = "f.creds", other_than: str = "") -> str:
    """What the Secret of the namespace says."""

    def found() -> str:
        one = bus.kube.find(kinds.SECRET, "kfn-nats", namespace)
        return base64.b64decode(one.data.get(key, "")).decode() if one is not None else ""

    await until(lambda: found() not in ("", other_than), f"{namespace}: {key}")
    return found()


class Function:
    """Speaks NATS as a function does that was given a .creds file."""

    def __init__(self, bus: Stage, credentials: str, inbox: str) -> None:
        self.client, self.inbox, self.errors = Connection(), inbox, list[str]()
        self._bus, self._credentials = bus, credentials

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Function"]:
        token = claims.token_of(self._credentials)
        key = seeded(self._credentials)

        async def note(error: Exception) -> None:
            self.errors.append(str(error))

        await self.client.connect(
            self._bus.server.url, user_jwt_cb=token.encode, signature_cb=lambda nonce: base64.b64encode(key.sign(nonce.encode())),
            inbox_prefix=self.inbox, error_cb=note, allow_reconnect=False, connect_timeout=20,
        )  # fmt: skip
        try:
            yield self
        finally:
            await self.client.end(3)

    async def publish(self, namespace: str, id: str, place: str = "default", headers: dict[str, str] | None = None) -> dict[str, Any]:
        message = await self.client.request(
            subjects.event(namespace, place, "test"), b"x", timeout=10, headers=headers or {**CE, "ce-id": id}
        )
        answer: dict[str, Any] = json.loads(message.data)
        return answer

    async def refused(self, subject: str) -> bool:
        """The server says that it is forbidden, and nobody answers."""
        before, answers = len(self.errors), await self.client.subscribe(f"{self.inbox}.refused")
        await self.client.publish(subject, b"", reply=f"{self.inbox}.refused")
        await self.client.flush()
        await until(lambda: len(self.errors) > before, f"{subject} is refused")
        assert answers.pending_msgs == 0, subject
        await answers.unsubscribe()
        return "permissions violation" in self.errors[-1] and subject.lower() in self.errors[-1]

    async def pull(self, stream: str, consumer: str) -> tuple[bytes, str]:
        got = await self.client.subscribe(f"{self.inbox}.pull")
        body = json.dumps({"batch": 1, "expires": 20_000_000_000}).encode()
        await self.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", body, reply=f"{self.inbox}.pull")
        message = await got.next_msg(timeout=20)
        await got.unsubscribe()
        return message.data, message.reply


def seeded(credentials: str) -> Key:
    """The key in a .creds file."""
    seed = credentials.partition("-----BEGIN USER NKEY SEED-----\n")[2].partition("\n")[0]
    return Key("user", base64.b32decode(seed + "=" * (-len(seed) % 8))[2:34])


async def function(bus: Stage, namespace: str, name: str = "f") -> Function:
    return Function(bus, await given(bus, namespace, f"{name}.creds"), await given(bus, namespace, f"{name}.inbox"))


class TestFunctions:
    async def test_one_publishes_to_its_broker_and_pulls_what_its_trigger_has(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as got:
            broker(bus, "a")
            await until(lambda: bus.kube.find(kinds.BROKER, "default", "a").status.address is not None, "the broker")
            trigger(bus, "a", got.url)
            service(bus, "a", pull="mine")
            async with (await function(bus, "a")).connected() as f:
                await until(lambda: len(bus.eventing._dispatchers.subscriptions()) == 1, "the trigger delivers")
                assert (await f.publish("a", "1"))["stream"] == "KFN_a_default"
                assert (await got.wait(1))[0].event.id == "1"
                duplicate = await f.publish("a", "1", headers={**CE, "ce-id": "1", "Nats-Msg-Id": "x"})
                assert "duplicate" not in duplicate  # it is the publisher's to say what is the same
                assert (await f.publish("a", "1", headers={**CE, "ce-id": "1", "Nats-Msg-Id": "x"}))["duplicate"]
                await f.publish("a", "2", headers={"what": "is this"})  # no event: where every other such one ends, too
                with anyio.fail_after(40):
                    while not (await bus.eventing._bus.api("STREAM.INFO.KFN_DLQ_a_default"))["state"]["messages"]:
                        await anyio.sleep(0.05)

    async def test_one_of_a_namespace_can_do_nothing_to_another_nor_beyond_what_it_asked_for(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus, sink() as got:
            for namespace in ("a", "b"):
                broker(bus, namespace)
                trigger(bus, namespace, got.url)
                service(bus, namespace, pull="t")
            broker(bus, "a", "other")
            service(bus, "a", "idle", publish="other")
            own, foreign = (bus.kube.the(kinds.TRIGGER, "t", one).metadata.uid for one in "ab")
            async with (await function(bus, "a")).connected() as f, (await function(bus, "b")).connected() as g:
                before = {place: await count(bus, *place) for place in (("a", "other"), ("b", "default"))}
                mine, theirs = f"KFN_a_default.kfn_t_{own}", f"KFN_b_default.kfn_t_{foreign}"
                for subject in (
                    subjects.event("b", "default", "test"), subjects.event("a", "other", "test"), subjects.to("a", "default", own),
                    f"$JS.API.CONSUMER.MSG.NEXT.{theirs}", f"$JS.API.CONSUMER.INFO.{theirs}", f"$JS.ACK.{theirs}.1.1.1.1.1",
                    f"$JS.ACK.x.{mine}.1.1.1.1", "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST",
                    "$JS.API.STREAM.INFO.KFN_a_default",
                    "$JS.API.STREAM.MSG.GET.KFN_a_default", "$JS.API.DIRECT.GET.KFN_a_default", "$JS.API.STREAM.PURGE.KFN_a_default",
                    "$JS.API.STREAM.DELETE.KFN_b_default", "$JS.API.STREAM.CREATE.MINE", "$JS.API.CONSUMER.NAMES.KFN_a_default",
                    "$JS.API.CONSUMER.CREATE.KFN_a_default.x", f"$JS.API.CONSUMER.DELETE.{mine}", f"$JS.API.CONSUMER.PAUSE.{mine}",
                    "$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.LIST", "$SYS.REQ.USER.INFO", f"{g.inbox}.x", "anything",
                ):  # fmt: skip
                    assert await f.refused(subject), subject
                for subject in (">", "kfn.>", "kfn.a.>", "$JS.>", "$SYS.>", "_INBOX.>", "_R_.>", f"{g.inbox}.>", "*.*"):
                    seen = len(f.errors)
                    await f.client.subscribe(subject)
                    await f.client.flush()
                    await until(lambda seen=seen: len(f.errors) > seen, f"subscribing to {subject} is refused")
                assert not f.client.is_closed
                # What it may ask for is answered to no place where it may not publish itself.
                for reply in (
                    subjects.event("a", "other", "test"),
                    subjects.event("b", "default", "test"),
                    "$JS.API.STREAM.DELETE.KFN_a_default",
                ):
                    await f.client.publish(subjects.event("a", "default", "test"), b"x", reply=reply, headers={**CE, "ce-id": reply})
                    await f.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{mine}", b'{"batch": 5, "no_wait": true}', reply=reply)
                await f.client.flush()
                await anyio.sleep(0.3)
                assert before == {place: await count(bus, *place) for place in before}
                assert (await count(bus, "a", "default")) >= 3
                assert (await g.publish("b", "1"))["seq"] == 1

    async def test_what_a_trigger_has_is_pulled_and_settled(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus:
            broker(bus, "a")
            trigger(bus, "a", "http://127.0.0.1:9")
            service(bus, "a", pull="t")
            uid = bus.kube.the(kinds.TRIGGER, "t", "a").metadata.uid
            async with (await function(bus, "a")).connected() as f:
                await until(lambda: len(bus.eventing._dispatchers.subscriptions()) == 1, "the trigger delivers")
                bus.kube.put(kinds.TRIGGER, annotated(bus, "a", names.PULLED))
                await until(lambda: not bus.eventing._dispatchers.subscriptions(), "the dispatcher leaves it to the function")
                await f.publish("a", "1")
                data, reply = await f.pull("KFN_a_default", subjects.consumer(uid))
                assert data == b"x"
                await f.client.request(reply, b"+ACK", timeout=10)
                info = await bus.eventing._bus.consumer_info("KFN_a_default", subjects.consumer(uid))
                assert (info["num_pending"], info["num_ack_pending"], info["ack_floor"]["stream_seq"]) == (0, 0, 1)

    async def test_credentials_go_with_the_service_and_what_it_asks_for(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus:
            broker(bus, "a")
            broker(bus, "a", "other")
            service(bus, "a")
            service(bus, "a", "keeps", publish="other")
            f, keeps = await function(bus, "a"), await function(bus, "a", "keeps")
            async with keeps.connected():
                async with f.connected():
                    await f.publish("a", "1")
                    service(bus, "a", publish="other")
                    await until(lambda: f.client.is_closed, "it is disconnected, to learn of what it may do now")
                again = Function(bus, await given(bus, "a"), f.inbox)
                async with again.connected():
                    assert (await again.publish("a", "2", "other"))["stream"] == "KFN_a_other"
                    assert await again.refused(subjects.event("a", "default", "test"))
                    bus.kube.remove(kinds.SERVICE, "f", "a")
                    await until(lambda: again.client.is_closed, "it is disconnected for good")
                await until(lambda: "f.creds" not in bus.kube.the(kinds.SECRET, "kfn-nats", "a").data, "its credentials are gone")
                service(bus, "a")  # made anew: what the old one had opens nothing
                new = await given(bus, "a")
                assert claims.read(claims.token_of(new))["iss"] != claims.read(claims.token_of(again._credentials))["iss"]
                assert (await keeps.publish("a", "3", "other"))["stream"] == "KFN_a_other", "the others were left alone"
            bus.kube.remove(kinds.SERVICE, "f", "a")
            bus.kube.remove(kinds.SERVICE, "keeps", "a")
            await until(lambda: bus.kube.find(kinds.SECRET, "kfn-nats", "a") is None, "the Secret is gone")

    async def test_a_secret_of_somebody_elses_is_left_alone_and_credentials_are_renewed_in_time(self, tmp_path: Path) -> None:
        from dataclasses import replace

        async with set_up(tmp_path) as one:
            one.settings = replace(one.settings, nats_credential_life=4.0)
            one.kube.put(kinds.SECRET, Secret(metadata=ObjectMeta(name="kfn-nats", namespace="b"), data={"mine": "eA=="}))
            async with one.running() as bus:
                broker(bus, "b")
                service(bus, "b")
                broker(bus, "a")
                service(bus, "a")
                first = await given(bus, "a")
                second = await given(bus, "a", other_than=first)
                ends = [claims.read(claims.token_of(text))["exp"] for text in (first, second)]
                assert ends[1] > ends[0]
                assert bus.kube.the(kinds.SECRET, "kfn-nats", "b").data == {"mine": "eA=="}


class TestAccounts:
    async def test_what_was_stored_before_there_were_accounts_is_delivered_by_the_server_that_has_them(self, tmp_path: Path) -> None:
        """An old data directory: events in the account of everybody, some in work, a consumer that has settled some."""
        async with set_up(tmp_path / "new") as one, sink() as got:
            with_password = tmp_path / "new" / "old"
            async with nats_server(with_password) as server:
                one.server = server
                async with one.running() as bus:
                    await bus.broker()
                    await bus.trigger("t", got.url)
                    await bus.publish_surely("settled")
                    await got.wait(1)
                    bus.kube.put(kinds.TRIGGER, annotated(bus, "default", names.PAUSED))
                    await until(lambda: any(c.type == "Paused" for c in bus.kube.the(kinds.TRIGGER, "t").status.conditions), "paused")
                    for number in range(20):
                        await bus.publish_surely(f"waits-{number}")
            async with nats_server(with_password, keys=secret(with_password)) as server:
                one.server = server
                async with one.running() as bus:
                    assert await count(bus, "default", "default") == 21
                    await bus.trigger("t", got.url)
                    await bus.publish_surely("new")
                    await got.wait(22)
                    assert sorted(e.id for e in got.got) == sorted(["settled", "new", *(f"waits-{number}" for number in range(20))])
            # And another secret, as where the file was lost.
            (with_password / "secret").unlink()
            async with nats_server(with_password, keys=secret(with_password)) as server:
                one.server = server
                async with one.running() as bus:
                    assert await count(bus, "default", "default") == 22

    async def test_a_namespace_without_events_has_no_account(self, tmp_path: Path) -> None:
        async with set_up(tmp_path) as one:
            keys = one.server.keys
            assert keys is not None
            kept = tmp_path / "accounts"
            async with one.running() as bus:
                broker(bus, "a")
                broker(bus, "b")
                await until(lambda: all((kept / f"{keys.namespace(n).public}.jwt").exists() for n in "ab"), "both have one")
                bus.kube.remove(kinds.BROKER, "default", "a")
                await until(lambda: not (kept / f"{keys.namespace('a').public}.jwt").exists(), "it has none any more")
            bus.kube.remove(kinds.BROKER, "default", "b")  # while nobody looks
            async with one.running():
                await until(lambda: not (kept / f"{keys.namespace('b').public}.jwt").exists(), "that is found out")

    async def test_the_own_login_opens_nothing_of_the_servers(self, tmp_path: Path) -> None:
        async with stage(tmp_path) as bus:
            client = bus.eventing._bus.client
            for subject in ("$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.LIST", "anything"):
                with pytest.raises((TimeoutError, nats.errors.NoRespondersError)):
                    await client.request(subject, b"", timeout=_REFUSED)


async def count(bus: Stage, namespace: str, place: str) -> int:
    await until(lambda: (namespace, place) in bus.eventing._leader.ready, "the stream is there")  # type: ignore[union-attr]
    return int((await bus.eventing._bus.api(f"STREAM.INFO.{subjects.stream(namespace, place)}"))["state"]["messages"])


def annotated(bus: Stage, namespace: str, annotation: str) -> api.Trigger:
    found = bus.kube.the(kinds.TRIGGER, "t", namespace)
    meta = ObjectMeta(name="t", namespace=namespace, annotations={annotation: "true"}, finalizers=found.metadata.finalizers)
    return api.Trigger(metadata=meta, spec=found.spec, status=found.status)
