"""The webhook over real TLS: what an API server would send it, and what nobody should."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import anyio
import httpx
import pytest

from controller.webhook import rotation
from controller.webhook.app import Webhook
from controller.webhook.settings import Settings
from kfn.api import kinds
from kfn.clock import utcnow
from kfn.kube.client import Client
from tests.fakes.kube import FakeApi
from tests.unit.api.test_admission import service
from tests.unit.controller.webhook.test_review import asked

SETTINGS = Settings(host="127.0.0.1", port=0, url="https://127.0.0.1:1", farewell=0.0, read_timeout=1.0)
JSON = {"Content-Type": "application/json"}


def authorities(api: FakeApi) -> str:
    import base64

    secret = api.the(kinds.SECRET, SETTINGS.secret, SETTINGS.namespace)
    return base64.b64decode(secret.data[rotation.AUTHORITIES]).decode()


@asynccontextmanager
async def served(settings: Settings = SETTINGS, api: FakeApi | None = None) -> AsyncIterator[tuple[str, FakeApi, Webhook]]:
    api = api or FakeApi()
    webhook = Webhook(Client(api), settings)
    async with webhook.serving() as port:
        yield f"https://127.0.0.1:{port}", api, webhook


def client(api: FakeApi) -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=ssl.create_default_context(cadata=authorities(api)), headers=JSON, trust_env=False)


@asynccontextmanager
async def raw(url: str, api: FakeApi) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    trusting = ssl.create_default_context(cadata=authorities(api))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]), ssl=trusting)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


class TestReviews:
    async def test_one_is_answered_to_whom_trusts_the_authority(self) -> None:
        async with served() as (url, api, _), client(api) as http:
            got = await http.post(f"{url}/default?timeout=10s", content=asked(service()))
            assert (got.status_code, got.headers["content-type"]) == (200, "application/json")
            assert got.json()["response"]["patchType"] == "JSONPatch"
            no = await http.post(f"{url}/validate", content=asked(service(image="")))
            assert no.status_code == 200, "the verdict is in the answer"
            assert not no.json()["response"]["allowed"]

    async def test_two_replicas_show_the_same_certificate(self) -> None:
        async with served() as (one, api, _), served(api=api) as (other, _, _), client(api) as http:
            for url in (one, other):
                assert (await http.post(f"{url}/validate", content=asked(service()))).status_code == 200

    async def test_they_are_counted(self) -> None:
        async with served() as (url, api, webhook), client(api) as http:
            await http.post(f"{url}/validate", content=asked(service(image="")))
            labels = {"path": "/validate", "kind": "services.serving.knative.dev", "operation": "CREATE", "allowed": "false"}
            assert webhook.registry.get_sample_value("kfn_webhook_reviews_total", labels) == 1
            left = webhook.registry.get_sample_value("kfn_webhook_certificate_seconds")
            assert left is not None and left > 89 * 86400


class TestMisuse:
    async def test_what_is_no_review_is_told_so_and_the_next_one_is_answered(self) -> None:
        async with served() as (url, api, _), client(api) as http:
            for path, content, headers, status in (
                ("/default", b"{", JSON, 400),
                ("/default", b"[" * 200_000, JSON, 400),
                ("/default", asked(service()), {"Content-Type": "text/plain"}, 415),
                ("/other", asked(service()), JSON, 404),
                ("/default", b"x" * (SETTINGS.body_limit + 1), JSON, 413),
            ):
                assert (await http.post(f"{url}{path}", content=content, headers=headers)).status_code == status
            assert (await http.get(f"{url}/default")).status_code == 405
            assert (await http.post(f"{url}/default", content=asked(service()))).status_code == 200

    async def test_a_body_without_an_end_is_cut_off(self) -> None:
        async with served() as (url, api, _), raw(url, api) as (reader, writer):
            writer.write(b"POST /default HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            head = asyncio.create_task(reader.readline())
            chunk, sent = b"10000\r\n" + b" " * 65536 + b"\r\n", 0
            while not head.done() and sent < 4 * SETTINGS.body_limit:
                writer.write(chunk)
                sent += 65536
                with anyio.move_on_after(0.01):
                    await writer.drain()
            assert b" 413 " in await head

    async def test_a_body_that_does_not_come_is_not_waited_for(self) -> None:
        async with served() as (url, api, _), raw(url, api) as (reader, writer):
            writer.write(b"POST /default HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
            with anyio.fail_after(30):
                assert b" 408 " in await reader.readline()

    async def test_plain_http_and_old_tls_are_refused(self) -> None:
        async with served() as (url, api, _):
            async with httpx.AsyncClient(trust_env=False) as http:
                with pytest.raises(httpx.HTTPError):
                    await http.get(url.replace("https", "http"))
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.load_verify_locations(cadata=authorities(api))
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):  # the server's alert, or its end where that is sooner
                await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]), ssl=old)


class TestRotation:
    async def test_under_load_no_request_fails_and_open_connections_go_on(self) -> None:
        settings = replace(SETTINGS, life=3600.0, renew_before=3599.0, overlap=0.3)
        hurried = [utcnow()]

        def now() -> datetime:
            return hurried[0] + timedelta(seconds=1) * len(hurried)

        api = FakeApi()
        webhook = Webhook(Client(api), settings, now)
        failed: list[str] = []
        answered = 0
        async with webhook.serving() as port, anyio.create_task_group() as tasks:
            url = f"https://127.0.0.1:{port}/validate"

            async def ask(fresh: bool) -> None:
                """As an API server does: with a new connection it trusts what it has been told last."""
                nonlocal answered
                async with client(api) as kept:
                    while True:
                        try:
                            if fresh:
                                async with client(api) as http:
                                    got = await http.post(url, content=asked(service()))
                            else:
                                got = await kept.post(url, content=asked(service()))
                            assert got.status_code == 200
                            answered += 1
                        except (httpx.HTTPError, AssertionError) as error:
                            failed.append(repr(error))
                        await anyio.sleep(0)

            tasks.start_soon(webhook.lead, Client(api))
            for fresh in (True, False):
                tasks.start_soon(ask, fresh)
            shown = set()
            with anyio.fail_after(60):
                while len(shown) < 4:
                    shown.add(api.the(kinds.SECRET, SETTINGS.secret, SETTINGS.namespace).data[rotation.CERT])
                    hurried.append(hurried[0])  # a second passes: it is time for the next one
                    await anyio.sleep(0.1)
            tasks.cancel_scope.cancel()
        assert not failed
        assert answered > 20

    async def test_a_certificate_that_somebody_else_wrote_is_shown_without_a_restart(self) -> None:
        async with served() as (url, api, _):
            secret = api.the(kinds.SECRET, SETTINGS.secret, SETTINGS.namespace)
            made = rotation.created(SETTINGS, utcnow())
            await Client(api).update(kinds.SECRET, _holding(secret, made))
            with anyio.fail_after(10):
                while True:
                    try:
                        async with client(api) as http:
                            assert (await http.post(f"{url}/validate", content=asked(service()))).status_code == 200
                            return
                    except httpx.ConnectError:
                        await anyio.sleep(0.05)


def _holding(secret: object, contents: rotation.Contents) -> dict[str, object]:
    import base64

    from kfn.api.base import encode

    return {**encode(secret), "data": {name: base64.b64encode(value).decode() for name, value in contents.items()}}


def test_the_answer_is_small() -> None:
    """Patches carry what is added, not the object."""
    from controller.webhook.review import answer

    obj = service(env=[{"name": f"V{n}", "value": "x" * 100} for n in range(500)])
    encoded = answer(asked(obj), patch=True).encode()
    assert len(encoded) < 2000 < len(json.dumps(obj))
