"""Kubernetes Events: written in the background, counted, and never so many that they cost something. In virtual time."""

from typing import Any

import anyio

from kfn.api import kinds
from kfn.api.core import Event
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Service
from kfn.kube import errors
from kfn.kube.client import Client
from kfn.kube.recorder import BURST, REFILL, WAITING, Recorder
from tests.fakes.kube import FakeApi


def service(name: str = "hello") -> Service:
    return Service(metadata=ObjectMeta(name=name, namespace="default", uid=f"uid-{name}"))


async def written(api: FakeApi, *said: tuple[Service, str], seconds: float = 60) -> list[Event]:
    recorder = Recorder(Client(api), "kfn-controller")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(recorder.run)
        for about, message in said:
            recorder.say(about, "Warning", "Failed", message)
            await anyio.sleep(0.5)
        await anyio.sleep(seconds)
        tasks.cancel_scope.cancel()
    return api.all(kinds.EVENT)


class TestRecorder:
    async def test_an_event_names_its_object_as_kubectl_describe_looks_for_it(self) -> None:
        (event,) = await written(FakeApi(), (service(), "no such image"))
        about = event.involved_object
        assert (about.api_version, about.kind, about.namespace, about.name, about.uid) == (
            "serving.knative.dev/v1", "Service", "default", "hello", "uid-hello",
        )  # fmt: skip
        assert (event.type, event.reason, event.message, event.count) == ("Warning", "Failed", "no such image", 1)
        assert event.source["component"] == "kfn-controller"

    async def test_the_same_said_again_counts(self) -> None:
        (event,) = await written(FakeApi(), *[(service(), "no such image")] * 3)
        assert event.count == 3

    async def test_one_object_that_fails_in_ever_new_words_is_cut_short_and_the_others_are_not(self) -> None:
        events = await written(FakeApi(), *[(service(), f"failure {n}") for n in range(50)], (service("other"), "x"), seconds=5)
        assert len([e for e in events if e.involved_object.name == "hello"]) <= BURST + 50 * 0.5 / REFILL + 1
        assert len([e for e in events if e.involved_object.name == "other"]) == 1

    async def test_nothing_waits_for_an_api_server_that_is_away_and_what_waits_is_bounded(self) -> None:
        api = FakeApi()
        recorder = Recorder(Client(api), "kfn-controller")
        for n in range(WAITING + 10):
            recorder.say(service(f"s{n}"), "Normal", "Ready", "is ready")
        assert recorder.dropped == 10

        def away(method: str, path: str) -> None:
            raise errors.Unreachable("away")

        api.before = away
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(recorder.run)
            await anyio.sleep(100)
            api.before = None
            recorder.say(service("later"), "Normal", "Ready", "is ready")
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        assert [event.involved_object.name for event in api.all(kinds.EVENT)] == ["later"]

    async def test_a_long_message_and_a_long_name_fit(self) -> None:
        (event,) = await written(FakeApi(), (service("n" * 253), "é" * 2000))
        assert len(event.message.encode()) <= 1024
        assert len(event.metadata.name) <= 253

    async def test_one_that_kubernetes_has_forgotten_is_made_anew(self) -> None:
        api = FakeApi()
        recorder = Recorder(Client(api), "kfn-controller")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(recorder.run)
            for _ in range(2):
                recorder.say(service(), "Normal", "Ready", "is ready")
                await anyio.sleep(1)
                event: Any = api.all(kinds.EVENT)[0]
                assert event.count == 1
                api.remove(kinds.EVENT, event.metadata.name)
            tasks.cancel_scope.cancel()
