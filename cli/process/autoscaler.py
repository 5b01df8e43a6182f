"""`kfn autoscaler`: the autoscaler, the port to which gateways report, and the keeper of slots, all of them behind one Lease.

Who leads listens, and says so in an EndpointSlice, so that gateways find it by the name of a Service; who stands by does not listen.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio
from starlette.applications import Starlette

from autoscaler import cluster, page
from autoscaler import settings as autoscaler_settings
from autoscaler.app import Autoscaler
from cli.process import signpost
from cli.process.door import Door
from cli.process.leading import Leading
from cli.process.run import Shell
from gateway.slots import keeper
from kfn.api import kinds
from kfn.api.names import SYSTEM_NAMESPACE
from kfn.kube.client import Client
from kfn.kube.lease import Terms
from kfn.observe import web
from kfn.part import authority, running

NEEDS = (kinds.REVISION,)
TERMS = Terms(duration=8.0, renew_deadline=5.0, retry=0.5)
"""With 5 s and 3 s a machine with fifty processes to run for each of its cores lost the lease every minute, and ends of terms took the 2 s
between them: the process left, and Kubernetes let it wait."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What can be chosen beside what every process has."""

    host: str = "127.0.0.1"
    port: int = 8080  # gateways report here
    slots_port: int | None = 7000  # and lease slots here; None: no keeper
    token: str = field(default="", repr=False)
    slots_token: str = field(default="", repr=False)
    scaling: autoscaler_settings.Settings = field(default_factory=autoscaler_settings.Settings)
    advertise: str = ""  # this process's address, as gateways reach it; empty: they find it in another way
    service: tuple[str, str] = (SYSTEM_NAMESPACE, "kfn-autoscaler")  # whose EndpointSlice says where the leader is
    terms: Terms = TERMS


class Part:
    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self._doors: dict[str, Door] = {}
        self._parts: cluster.Parts | None = None  # of this term
        self._serving = anyio.Event()
        self._shell: Shell
        self._holds: Callable[[], bool] = lambda: True

    @asynccontextmanager
    async def __call__(self, shell: Shell) -> AsyncIterator[Mapping[str, str]]:
        chosen, self._shell = self._chosen, shell
        self._doors = {"load": Door(chosen.host, chosen.port)}
        if chosen.slots_port is not None:
            self._doors["slots"] = Door(chosen.host, chosen.slots_port)
        leading = Leading(shell, chosen.terms)
        self._holds = leading.holds
        shell.pages.append(self._page)
        shell.routes.append(page.decisions(self._deciding))
        try:
            async with running("autoscaler", lambda: leading.run(self._lead)):
                if shell.process.lease is None:
                    await self._serving.wait()
                facts = {"load": f"http://{authority(chosen.host, self._doors['load'].port)}"}
                if "slots" in self._doors:
                    facts["slots"] = authority(chosen.host, self._doors["slots"].port)
                yield facts
        finally:
            for door in self._doors.values():
                door.close()

    async def _lead(self, client: Client) -> None:
        """One term: nothing is known of before. At its end gateways are let go first, so that they look for the next leader at once."""
        chosen = self._chosen
        parts = cluster.assembled(client, chosen.token, replace(chosen.scaling, hear_first=True))
        self._parts, self._shell.follows = parts, parts.informers
        loads = Starlette(routes=[parts.receiver.route])
        async with (
            running("autoscaler", parts.run),
            _keeping(self._doors.get("slots"), chosen.slots_token),
            web.serving(loads, sock=self._doors["load"].take(), drain=1),
            told_where(client, chosen, self._doors, self._holds),
        ):
            self._serving.set()
            try:
                await anyio.sleep_forever()
            finally:
                parts.receiver.end()
                self._parts, self._shell.follows = None, ()

    def _deciding(self) -> Autoscaler | None:
        return self._parts.scaler if self._parts is not None else None

    def _page(self) -> str:
        """Its numbers; those of a replica that stands by are zero."""
        parts = self._parts
        gateways, revisions = (len(parts.receiver.gateways), parts.scaler.tracked) if parts is not None else (0, 0)
        return (
            "# HELP kfn_autoscaler_gateways Gateways that report here.\n# TYPE kfn_autoscaler_gateways gauge\n"
            f"kfn_autoscaler_gateways {gateways}\n"
            "# HELP kfn_autoscaler_revisions Revisions that are looked after.\n# TYPE kfn_autoscaler_revisions gauge\n"
            f"kfn_autoscaler_revisions {revisions}\n"
        )


@asynccontextmanager
async def told_where(client: Client, chosen: Chosen, doors: Mapping[str, Door], holds: Callable[[], bool]) -> AsyncIterator[None]:
    """Have the leader's address in the EndpointSlice of the Service while the block runs."""
    if not chosen.advertise:
        yield
        return
    ports = {name: door.port for name, door in doors.items()}
    namespace, service = chosen.service
    sign = signpost.Signpost(client, namespace, service, chosen.advertise, ports)
    async with running("signpost", sign.run):
        try:
            yield
        finally:
            if holds():  # else it is the next leader's by now, and there is no time to lose
                with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                    await sign.take_down()


@asynccontextmanager
async def _keeping(door: Door | None, token: str) -> AsyncIterator[None]:
    if door is None:
        yield
        return
    door.close()
    host = f"[{door.host}]" if ":" in door.host else door.host
    async with keeper.serving(f"{host}:{door.port}", token=token):
        yield
