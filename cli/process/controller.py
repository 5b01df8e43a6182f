"""`kfn controller`: the Serving control plane and the controller of Builds behind one Lease; the admission webhook on every replica."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from builder.cluster import app as builds
from builder.cluster import settings as builds_settings
from builder.registry.digest import Digests
from builder.registry.settings import RegistrySettings
from cli.process.leading import Leading
from cli.process.run import Shell
from controller import app as controller
from controller import settings as controller_settings
from controller.webhook import settings as webhook_settings
from controller.webhook.app import Webhook
from kfn.api import kinds
from kfn.kube.client import Client
from kfn.kube.lease import Terms
from kfn.part import authority, running

NEEDS = (kinds.SERVICE, kinds.CONFIGURATION, kinds.REVISION, kinds.ROUTE, kinds.BUILD)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What can be chosen beside what every process has. `digests`: how registries are asked for digests. `builds` None: no Builds are run
    here; `webhook` None: none is served."""

    serving: controller_settings.Settings = field(default_factory=controller_settings.Settings)
    digests: RegistrySettings = field(default_factory=RegistrySettings.from_environment)
    builds: builds_settings.Settings | None = None
    webhook: webhook_settings.Settings | None = None
    terms: Terms = field(default_factory=Terms)


class Part:
    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self._webhook: Webhook | None = None
        self._manager: controller.Controller | None = None  # of this term, or the last one
        self._shell: Shell

    @asynccontextmanager
    async def __call__(self, shell: Shell) -> AsyncIterator[Mapping[str, str]]:
        self._shell = shell
        leading = Leading(shell, self._chosen.terms)
        shell.pages.append(self._page)
        async with self._served(shell) as facts, running("controller", lambda: leading.run(self._lead)):
            yield {"domain": self._chosen.serving.domain, **facts}

    @asynccontextmanager
    async def _served(self, shell: Shell) -> AsyncIterator[Mapping[str, str]]:
        """The webhook comes first and goes last: whoever leads writes objects that it is asked about."""
        if self._chosen.webhook is None:
            yield {}
            return
        webhook = self._webhook = Webhook(shell.client, self._chosen.webhook)
        shell.registries.append(webhook.registry)
        shell.health.troubles["webhook"] = webhook.trouble
        shell.health.waiting = "the webhook's certificate is not there yet"
        async with webhook.serving() as port:
            yield {"webhook": f"https://{authority(webhook.settings.host, port)}"}

    async def _lead(self, client: Client) -> None:
        async with anyio.create_task_group() as tasks:
            manager = controller.Controller(client, self._chosen.serving, resolve=Digests(self._chosen.digests).resolve, events=True)
            self._manager, self._shell.follows = manager, manager.informers
            tasks.start_soon(manager.run)
            if self._chosen.builds is not None:
                tasks.start_soon(builds.Builds(client, self._chosen.builds).run)
            if self._webhook is not None:
                tasks.start_soon(self._webhook.lead, client)

    def _page(self) -> str:
        pending = self._manager.pending if self._manager is not None else 0
        help = "Objects that wait to be looked at."
        return f"# HELP kfn_controller_pending {help}\n# TYPE kfn_controller_pending gauge\nkfn_controller_pending {pending}\n"


def needs(chosen: Chosen) -> tuple[kinds.Kind[Any], ...]:
    """What must be installed."""
    return NEEDS if chosen.builds is not None else NEEDS[:-1]
