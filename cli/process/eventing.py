"""`kfn eventing`: the ingress and the dispatchers on every replica, what writes objects and streams behind a Lease."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import anyio

from cli.process.leading import Leading
from cli.process.run import Shell
from eventing import app as eventing
from eventing import settings as eventing_settings
from kfn.api import kinds
from kfn.kube.lease import Terms
from kfn.observe import web
from kfn.part import authority, running

NEEDS = (
    kinds.BROKER, kinds.TRIGGER, kinds.CHANNEL, kinds.IN_MEMORY_CHANNEL, kinds.SUBSCRIPTION,
    kinds.SEQUENCE, kinds.PARALLEL, kinds.PING_SOURCE, kinds.API_SERVER_SOURCE,
    kinds.JOB_SINK, kinds.SERVICE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chosen:
    """What can be chosen beside what every process has."""

    bus: eventing_settings.Settings
    terms: Terms = field(default_factory=Terms)


class Part:
    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen

    @asynccontextmanager
    async def __call__(self, shell: Shell) -> AsyncIterator[Mapping[str, str]]:
        settings = replace(self._chosen.bus, api_server=shell.api_server)
        sock = web.listen(settings.host, settings.port)
        bus = eventing.Eventing(shell.client, settings, alone=False)
        leading = Leading(shell, self._chosen.terms)
        shell.registries.append(bus.metrics.registry)
        shell.follows = bus.informers
        started = anyio.Event()
        shell.health.waiting = f"NATS at {settings.nats_url} does not answer yet"
        shell.health.troubles["nats"] = lambda: "" if bus.is_up else "NATS does not answer; publishers are told to try again"
        async with running("eventing", partial(bus.run, started=started.set, sock=sock)):
            await started.wait()
            shell.routes.extend(bus.routes)
            async with running("leader", lambda: leading.run(bus.lead)):
                yield {"events": f"http://{authority(settings.host, bus.port)}", "brokers": bus.ingress_url}
