"""A webhook becomes an event, from the command line to the wire: secret, source, signed request, and the event in a Broker that asks
publishers for a token, which a source of kfn's need not have."""

import base64
import hashlib
import hmac
import json
from pathlib import Path

import httpx
import pytest

from kfn.api import kinds
from kfn.api.core import Secret
from kfn.api.meta import ObjectMeta
from kfn.kube import config
from kfn.kube.client import Client
from kfn.kube.http import HttpTransport
from tests.e2e.harness import running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

KEY = b"It's a Secret to Everybody"
TOKEN = "what publishers of the broker show"


async def test_a_signed_request_is_an_event_in_the_broker_whose_token_only_others_need(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as platform:
        early = await platform.kfn("source", "webhook", "create", "github", "--sink", "broker:default", check=False)
        assert early.code != 0
        assert "there is no Broker" in early.err + early.out
        transport = HttpTransport(config.load(str(platform.data / "kubeconfig")))
        try:
            for name, value in {"kfn-webhooks": KEY, "kfn-events": TOKEN.encode()}.items():
                data = {"github": base64.b64encode(value).decode()}
                secret = Secret(metadata=ObjectMeta(name=name, namespace="default"), data=data)
                await Client(transport).create(kinds.SECRET, secret, "default")
        finally:
            await transport.aclose()
        await platform.kfn("broker", "create", "default", "--auth", "kfn-events")
        refused = await platform.kfn("events", "publish", "--type", "t", "--data", "{}", check=False)
        assert (refused.code, "takes a token" in refused.err) == (4, True)
        assert (await platform.kfn("events", "publish", "--type", "t", "--data", "{}", "--token", TOKEN)).code == 0
        await platform.kfn("source", "webhook", "delete", "github")
        url = (
            await platform.kfn("source", "webhook", "create", "github", "--sink", "broker:default", "--ce-override", "team=shop")
        ).last_line
        body = json.dumps({"ref": "refs/heads/main"}).encode()
        headers = {
            "x-github-event": "push",
            "x-github-delivery": "72d3162e",
            "content-type": "application/json",
            "x-hub-signature-256": "sha256=" + hmac.new(KEY, body, hashlib.sha256).hexdigest(),
        }
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            assert (await http.post(url, headers=headers, content=body)).status_code == 202
            assert (await http.post(url, headers=headers, content=body + b" ")).status_code == 401
        tail = await platform.kfn("events", "tail", "--filter", "team=shop", "--since", "1m", "--count", "1", timeout=60)
        event = json.loads(tail.out)
        assert (event["type"], event["id"], event["team"]) == ("dev.kfn.sources.webhook.push", "72d3162e", "shop")
        assert event["data"] == {"ref": "refs/heads/main"}
        listed = (await platform.kfn("source", "webhook", "list")).out
        assert url in listed
        assert "True" in listed
        described = (await platform.kfn("source", "webhook", "describe", "github")).out
        assert "kfn-webhooks, key github" in described
        wrong = await platform.kfn("source", "webhook", "create", "x", "--sink", "broker:default", "--ce-override", "id", check=False)
        assert wrong.code == 2
        await platform.kfn("source", "webhook", "delete", "github")
        assert "No webhook sources" in (await platform.kfn("source", "webhook", "list")).err
