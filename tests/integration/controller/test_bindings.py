"""The webhook's page for SinkBindings, over real TLS: which workloads it changes, and which kinds the API server asks it about."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import httpx

from controller.webhook import configuration
from kfn.api import kinds
from kfn.api.base import Json
from kfn.api.meta import Destination, ObjectMeta
from kfn.api.sinkbinding import BoundStatus, SinkBinding, SinkBindingSpec, Subject
from kfn.kube.client import Client
from tests.fakes.kube import FakeApi
from tests.integration.controller.test_webhook import SETTINGS, client, served
from tests.unit.controller.webhook.test_review import asked, patched
from tests.unit.test_binding import NONE, PLAIN, SINK, URL, workload


def put(api: FakeApi, name: str, subject: Subject, sink_uri: str = URL) -> None:
    spec = SinkBindingSpec(sink=Destination(uri=URL), subject=subject)
    meta = ObjectMeta(name=name, namespace="default")
    api.put(kinds.SINK_BINDING, SinkBinding(metadata=meta, spec=spec, status=BoundStatus(sink_uri=sink_uri)))


def rules(api: FakeApi) -> list[Json]:
    found = api.find(kinds.MUTATING_WEBHOOKS, configuration.BINDINGS, "")
    return found.webhooks[0]["rules"] if found else []


@asynccontextmanager
async def leading() -> AsyncIterator[tuple[str, FakeApi, httpx.AsyncClient]]:
    async with served(replace(SETTINGS, bindings=True)) as (url, api, webhook), client(api) as http, anyio.create_task_group() as tasks:
        tasks.start_soon(webhook.lead, Client(api))
        yield f"{url}{configuration.BIND}", api, http
        tasks.cancel_scope.cancel()


async def until(api: FakeApi, plurals: set[str]) -> None:
    with anyio.fail_after(30):
        while {one["resources"][0] for one in rules(api)} != plurals:
            await anyio.sleep(0.01)


async def answer(http: httpx.AsyncClient, url: str, obj: Json, **more: Any) -> Json:
    response: Json = (await http.post(url, content=asked(obj, **more))).json()["response"]
    assert response["allowed"]
    return response


class TestBindings:
    async def test_the_api_server_asks_about_the_kinds_that_they_name_now_and_about_nothing_else(self) -> None:
        async with leading() as (_, api, _):
            put(api, "one", Subject("apps/v1", "Deployment", name="a"))
            await until(api, {"deployments"})
            put(api, "odd", Subject("v1", "Secret", name="a"))
            put(api, "two", Subject("batch/v1", "Job", name="a"))
            await until(api, {"deployments", "jobs"})
            api.remove(kinds.SINK_BINDING, "one")
            await until(api, {"jobs"})
            assert api.the(kinds.MUTATING_WEBHOOKS, configuration.BINDINGS, "").webhooks[0]["failurePolicy"] == "Ignore"

    async def test_a_workload_gets_its_sink_when_it_is_made(self) -> None:
        async with leading() as (url, api, http):
            put(api, "one", Subject("apps/v1", "Deployment", name="a"))
            put(api, "jobs", Subject("batch/v1", "Job", name="a"))
            put(api, "early", Subject("apps/v1", "Deployment", name="early"), sink_uri="")
            await until(api, {"deployments", "jobs"})
            made = patched(workload(), await answer(http, url, workload()))
            assert made["spec"]["template"]["spec"]["containers"][0]["env"] == [PLAIN, SINK, NONE]
            for untouched in (workload("b"), workload("early"), made):
                assert "patch" not in await answer(http, url, untouched)
            job = workload(kind="Job", api="batch/v1")
            assert "patch" in await answer(http, url, job)
            assert "patch" not in await answer(http, url, job, old=job), "its template cannot change any more"
            for odd in ({**workload(), "spec": None}, {**workload(), "spec": {"template": {"spec": {"containers": "x"}}}}):
                await answer(http, url, odd)
