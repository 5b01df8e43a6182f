"""WebhookSources on a whole bus: signed requests over real sockets, a Secret, a Broker, a sink that is away."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import anyio

from kfn import http1
from kfn.api import kinds
from kfn.api import webhooksource as api
from kfn.api.core import Secret
from kfn.api.meta import Destination, KReference, ObjectMeta
from kfn.api.sourced import CloudEventOverrides
from tests.fakes.sink import Got, Say, sink
from tests.integration.eventing.stage import Stage, set_up, stage, until

BROKER = Destination(ref=KReference(api_version="eventing.knative.dev/v1", kind="Broker", name="default"))
KEY = b"It's a Secret to Everybody"
PUSH = json.dumps({"ref": "refs/heads/main"}).encode()


def secret(bus: Stage, value: bytes = KEY, name: str = "kfn-webhooks") -> None:
    bus.kube.put(
        kinds.SECRET, Secret(metadata=ObjectMeta(name=name, namespace="default"), data={"github": base64.b64encode(value).decode()})
    )


def put(bus: Stage, where: Destination, **spec: Any) -> None:
    whole = api.WebhookSourceSpec(sink=where, secret=api.SecretKey("kfn-webhooks", "github"), **spec)
    bus.kube.put(kinds.WEBHOOK_SOURCE, api.WebhookSource(metadata=ObjectMeta(name="gh", namespace="default"), spec=whole))


async def deliver(bus: Stage, body: bytes = PUSH, *, key: bytes = KEY, signature: str | None = None, **headers: str) -> http1.Response:
    """As GitHub does."""
    signed = signature if signature is not None else "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
    given = {"content-type": "application/json", "x-hub-signature-256": signed, **{k.replace("_", "-"): v for k, v in headers.items()}}
    return await bus.post("/webhooks/default/gh", list(given.items()), body)


async def test_a_signed_request_becomes_an_event_in_the_broker_once_however_often_it_is_sent(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as subscriber:
        await bus.broker()
        await bus.trigger("t", subscriber.url)
        secret(bus)
        put(bus, BROKER, ce_overrides=CloudEventOverrides({"team": "shop"}))
        source = await bus.ready(kinds.WEBHOOK_SOURCE, "gh")
        assert source.status.address.url == f"{bus.eventing.ingress_url}/webhooks/default/gh"
        for _ in range(2):
            answer = await deliver(bus, x_github_event="push", x_github_delivery="72d3162e-cc78-11e3-81ab-4c9367dc0958")
            assert (answer.status, answer.body) == (202, b"")
        for _ in range(2):
            assert (await deliver(bus, b'{"no": "headers"}')).status == 202
        got = {one.id: one.event for one in await subscriber.wait(2)}
        push = got.pop("72d3162e-cc78-11e3-81ab-4c9367dc0958")
        assert (push.type, push.source) == ("dev.kfn.sources.webhook.push", "/apis/kfn.dev/v1alpha1/namespaces/default/webhooksources/gh")
        assert (push.data, push.datacontenttype, push.attributes["team"]) == (PUSH, "application/json", "shop")
        [(id, other)] = got.items()
        assert (id[:7], other.type) == ("sha256-", "dev.kfn.sources.webhook")
        await anyio.sleep(0.1)
        assert len(subscriber.got) == 2


async def test_what_is_not_signed_rightly_is_refused_and_counted(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as there:
        secret(bus)
        put(bus, Destination(uri=there.url))
        await bus.ready(kinds.WEBHOOK_SOURCE, "gh")
        right = "sha256=" + hmac.new(KEY, PUSH, hashlib.sha256).hexdigest()
        for wrong in ("", "sha256=", right[7:], "sha1=" + right[7:], right[:-1], right + "0", right.upper(), "sha256=\xff"):
            answer = await deliver(bus, signature=wrong)
            assert answer.status == 401, wrong
            assert b"x-hub-signature-256" in answer.body
        assert (await deliver(bus, key=b"another")).status == 401
        assert (await bus.post("/webhooks/default/gh", [], b"", "GET")).status == 405
        assert (await bus.post("/webhooks/default/nobody", [], b"x")).status == 404
        assert (await deliver(bus, b"x" * (1 << 20))).status == 413
        assert there.got == []
        assert 'kfn_source_webhooks_total{namespace="default",source="gh",status="401"} 9.0' in bus.eventing.metrics.exposition().decode()
        assert "nobody" not in bus.eventing.metrics.exposition().decode()
        assert (await deliver(bus, signature=right)).status == 202


async def test_it_is_not_ready_without_its_secret_and_says_which(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as there:
        put(bus, Destination(uri=there.url))
        refused = await bus.ready(kinds.WEBHOOK_SOURCE, "gh", "False")
        [why] = [c for c in refused.status.conditions if c.type == "SecretProvided"]
        assert (why.reason, why.message) == ("NotFound", "spec.secret: Secret default/kfn-webhooks does not exist")
        assert (await deliver(bus)).status == 503
        secret(bus)
        await bus.ready(kinds.WEBHOOK_SOURCE, "gh")
        assert (await deliver(bus)).status == 202
        bus.kube.remove(kinds.WEBHOOK_SOURCE, "gh")

        async def gone() -> bool:
            return (await deliver(bus)).status == 404

        with anyio.fail_after(40):
            while not await gone():
                await anyio.sleep(0.02)
        assert 'source="gh"' not in bus.eventing.metrics.exposition().decode()


async def test_a_sink_that_is_away_for_a_moment_is_tried_again_before_anything_is_acknowledged(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as there:
        failing = [503, 500]

        async def answer(got: Got) -> Say:
            return Say(failing.pop() if failing else 204)

        there.answer = answer
        secret(bus)
        put(bus, Destination(uri=there.url))
        await bus.ready(kinds.WEBHOOK_SOURCE, "gh")
        assert (await deliver(bus)).status == 202
        assert len({got.id for got in there.got}) == 1 and len(there.got) == 3


async def test_a_sink_that_stays_away_or_refuses_is_told_to_the_sender(tmp_path: Path) -> None:
    async with stage(tmp_path) as bus, sink() as there:
        secret(bus)
        put(bus, Destination(uri=f"http://127.0.0.1:{there.port}"))
        await bus.ready(kinds.WEBHOOK_SOURCE, "gh")

        async def never(got: Got) -> Say:
            return Say(503)

        async def refuse(got: Got) -> Say:
            return Say(400)

        there.answer = never
        answer = await deliver(bus)
        assert (answer.status, answer.header(b"retry-after")) == (503, b"5")
        there.answer = refuse
        assert (await deliver(bus)).status == 502


async def test_a_replica_that_does_not_lead_takes_requests_too_and_writes_nothing(tmp_path: Path) -> None:
    async with set_up(tmp_path) as first, first.running(), sink() as there:
        secret(first)
        put(first, Destination(uri=there.url))
        written = await first.ready(kinds.WEBHOOK_SOURCE, "gh")
        second = Stage(first.server, first.dir, first.kube, first.settings, first.http)
        async with second.running(alone=False):
            with anyio.fail_after(40):
                while (await deliver(second)).status != 202:
                    await anyio.sleep(0.02)
            await until(lambda: len(there.got) == 1, "the event came")
            assert first.kube.the(kinds.WEBHOOK_SOURCE, "gh").status == written.status
