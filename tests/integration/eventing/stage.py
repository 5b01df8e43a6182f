"""A whole event bus for a test: a real nats-server, eventing on real sockets, and an API server in memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio

from embedded.nats import NatsServer, nats_server, secret
from eventing import subjects
from eventing.app import Eventing
from eventing.settings import Settings
from kfn import http1
from kfn.api import eventing as api
from kfn.api import kinds, messaging
from kfn.api.meta import Addressable, DeliverySpec, Destination, KReference, ObjectMeta
from kfn.cloudevents import Event, http
from kfn.kube.client import Client
from tests.fakes.kube import FakeApi

QUICK = Settings(ack_wait=2.0, publish_timeout=3.0, dead_letter_patience=20.0, token="open sesame")
FAST = DeliverySpec(retry=3, backoff_policy="linear", backoff_delay="PT0.05S")


@dataclass
class Stage:
    server: NatsServer
    dir: Path
    kube: FakeApi
    settings: Settings
    http: http1.Client
    eventing: Eventing = field(init=False)

    @asynccontextmanager
    async def running(self, *, alone: bool = True) -> AsyncIterator["Stage"]:
        """Eventing runs while the block does; may be entered again, as after a restart."""
        settings = replace(self.settings, **self.server.login)
        self.eventing = Eventing(Client(self.kube), settings, alone=alone)
        started = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: self.eventing.run(started=started.set))
            with anyio.fail_after(20):
                await started.wait()
            yield self
            tasks.cancel_scope.cancel()

    async def broker(self, name: str = "default", delivery: DeliverySpec | None = FAST) -> None:
        self.kube.put(kinds.BROKER, api.Broker(metadata=ObjectMeta(name=name, namespace="default"), spec=api.BrokerSpec(delivery=delivery)))
        await self.ready(kinds.BROKER, name)

    async def trigger(
        self,
        name: str,
        uri: str,
        *,
        type: str = "",
        broker: str = "default",
        delivery: DeliverySpec | None = None,
        wait: bool = True,
        annotations: dict[str, str] | None = None,
        **spec: Any,
    ) -> None:
        filter = api.TriggerFilter({"type": type} if type else {})
        whole = api.TriggerSpec(broker=broker, filter=filter, subscriber=Destination(uri=uri), delivery=delivery, **spec)
        meta = ObjectMeta(name=name, namespace="default", annotations=annotations or {})
        self.kube.put(kinds.TRIGGER, api.Trigger(metadata=meta, spec=whole))
        if wait:
            await self.ready(kinds.TRIGGER, name)

    async def channel(self, name: str, delivery: DeliverySpec | None = FAST) -> None:
        meta = ObjectMeta(name=name, namespace="default")
        self.kube.put(kinds.CHANNEL, messaging.Channel(metadata=meta, spec=messaging.ChannelSpec(delivery=delivery)))
        await self.ready(kinds.CHANNEL, name)

    async def subscription(
        self, name: str, channel: str, subscriber: Destination | None = None, reply: Destination | None = None,
        delivery: DeliverySpec | None = None, *, wait: bool = True,
    ) -> None:  # fmt: skip
        spec = messaging.SubscriptionSpec(KReference(messaging.API_VERSION, "Channel", channel), subscriber, reply, delivery)
        self.kube.put(kinds.SUBSCRIPTION, messaging.Subscription(metadata=ObjectMeta(name=name, namespace="default"), spec=spec))
        if wait:
            await self.ready(kinds.SUBSCRIPTION, name)

    async def ready(self, kind: Any, name: str, status: str = "True") -> Any:
        def is_so() -> bool:
            return any(c.type == "Ready" and c.status == status for c in self.kube.the(kind, name).status.conditions)

        await until(is_so, f"{kind.kind} {name} Ready={status}: {self.kube.the(kind, name)}")
        return self.kube.the(kind, name)

    def service(self, name: str, url: str) -> None:
        """A function with an address."""
        from kfn.api.serving import Service, ServiceStatus

        status = ServiceStatus(address=Addressable(url=url))
        self.kube.put(kinds.SERVICE, Service(metadata=ObjectMeta(name=name, namespace="default"), status=status))

    async def publish(
        self, id: str, type: str = "test", *, broker: str = "default", data: bytes | None = b'{"n":1}', **extra: str
    ) -> http1.Response:
        attributes = {"specversion": "1.0", "id": id, "source": "/test", "type": type, "datacontenttype": "application/json", **extra}
        headers, body = http.binary(Event(attributes, data))
        return await self.post(f"/default/{broker}", headers, body)

    async def post(self, path: str, headers: list[tuple[str, str]], body: bytes, method: str = "POST") -> http1.Response:
        return await self.http.request(method, f"http://127.0.0.1:{self.eventing.port}{path}", headers=headers, body=body)

    async def publish_surely(self, id: str, type: str = "test", **more: Any) -> None:
        """As a careful publisher does: again until it is acknowledged."""
        with anyio.fail_after(30):
            while True:
                try:
                    if (await self.publish(id, type, **more)).status == 202:
                        return
                except http1.HttpError:
                    pass
                await anyio.sleep(0.05)

    async def dead_letters(self, broker: str = "default") -> list[Any]:
        """What is in the Broker's dead-letter stream."""
        from kfn.cloudevents import nats as binding

        client = self.eventing._bus.client.jetstream()
        name = subjects.dead_stream("default", broker)
        state = (await client.stream_info(name)).state
        messages = [await client.get_msg(name, seq) for seq in range(state.first_seq, state.last_seq + 1)] if state.messages else []
        return [binding.parse(m.headers, m.data or b"") for m in messages]


async def until(condition: Callable[[], bool], what: str, seconds: float = 40) -> None:
    with anyio.move_on_after(seconds):
        while not condition():
            await anyio.sleep(0.01)
    assert condition(), what


@asynccontextmanager
async def set_up(dir: Path, settings: Settings = QUICK) -> AsyncIterator[Stage]:
    """A nats-server and an API server; the test runs eventing itself, once or more often."""
    async with nats_server(dir, keys=secret(dir)) as server:
        client = http1.Client()
        try:
            yield Stage(server, dir, FakeApi(), settings, client)
        finally:
            await client.aclose()


@asynccontextmanager
async def stage(dir: Path, settings: Settings = QUICK) -> AsyncIterator[Stage]:
    """A bus that runs."""
    async with set_up(dir, settings) as one, one.running():
        yield one
