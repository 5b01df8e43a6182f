"""`kfn autoscaler`: the autoscaler, the port to which gateways report, and the keeper of slots, all of them behind one Lease.

Who leads listens, and says so in an EndpointSlice, so that gateways find it by the name of a Service; who stands by does not listen.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from starlette.applications import Starlette

from autoscaler import cluster
from autoscaler import settings as autoscaler_settings
from cli.process.door import Door
from cli.process.leading import Leading
from cli.process.run import Shell, authority, running
from gateway.slots import keeper
from kfn.api import kinds
from kfn.kube.client import Client
from kfn.kube.lease import Terms
from kfn.observe import web

NEEDS = (kinds.REVISION,)
TERMS = Terms(duration=5.0, renew_deadline=3.0, retry=0.5)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What can be chosen beside what every process has."""

    host: str = "127.0.0.1"
    port: int = 8080  # gateways report here
    slots_port: int | None = 7000  # and lease slots here; None: no keeper
    token: str = field(default="", repr=False)
    slots_token: str = field(default="", repr=False)
    scaling: autoscaler_settings.Settings = field(default_factory=autoscaler_settings.Settings)
    terms: Terms = TERMS


class Part:
    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self._doors: dict[str, Door] = {}

    @asynccontextmanager
    async def __call__(self, shell: Shell) -> AsyncIterator[Mapping[str, str]]:
        chosen = self._chosen
        self._doors = {"loads": Door(chosen.host, chosen.port)}
        if chosen.slots_port is not None:
            self._doors["slots"] = Door(chosen.host, chosen.slots_port)
        leading = Leading(shell, chosen.terms)
        try:
            async with running("autoscaler", lambda: leading.run(self._lead)):
                facts = {"loads": f"http://{authority(chosen.host, self._doors['loads'].port)}"}
                if "slots" in self._doors:
                    facts["slots"] = authority(chosen.host, self._doors["slots"].port)
                yield facts
        finally:
            for door in self._doors.values():
                door.close()

    async def _lead(self, client: Client) -> None:
        """One term: nothing is known of before. At its end gateways are let go first, so that they look for the next leader at once."""
        chosen = self._chosen
        parts = cluster.assembled(client, chosen.token, chosen.scaling)
        page = Starlette(routes=[parts.receiver.route])
        async with (
            running("autoscaler", parts.run),
            _keeping(self._doors.get("slots"), chosen.slots_token),
            web.serving(page, sock=self._doors["loads"].take(), drain=1),
        ):
            try:
                await anyio.sleep_forever()
            finally:
                parts.receiver.end()


@asynccontextmanager
async def _keeping(door: Door | None, token: str) -> AsyncIterator[None]:
    if door is None:
        yield
        return
    door.close()
    host = f"[{door.host}]" if ":" in door.host else door.host
    async with keeper.serving(f"{host}:{door.port}", token=token):
        yield
