"""The webhook as one part: every replica serves it, and the one that leads keeps its certificates. Read this first.

`review` decides, over the rules of `kfn.api.admission`; `server` has the pages; `keeper` the certificate, with `rotation` deciding when;
`configuration` says what the API server is told. While no replica serves, the API server refuses writes of kfn's kinds and nothing else:
functions run on, deletions and status are not asked about, and a controller starts without needing its own webhook.

For SinkBindings, if that is wanted, it is asked about users' workloads too: of the kinds that they name now, and nothing waits for it.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import anyio
from prometheus_client import CollectorRegistry, Gauge

from controller.webhook import server
from controller.webhook.keeper import Keeper, Subjects
from controller.webhook.settings import Settings
from kfn.api import kinds
from kfn.clock import utcnow
from kfn.kube.client import Client
from kfn.kube.informer import Informer
from kfn.observe import web

DRAIN = 5  # seconds for reviews under way at the end
KEEP_ALIVE = 180  # seconds; longer than an API server keeps an idle connection (90), which would else ask into one that is being closed


class Webhook:
    def __init__(self, client: Client, settings: Settings | None = None, now: Callable[[], datetime] = utcnow) -> None:
        self.settings = settings or Settings()
        self.registry = CollectorRegistry()
        self._now = now
        self._bindings = Informer(client, kinds.SINK_BINDING)
        self._keeper = Keeper(client, self.settings, now, self._subjects)
        self._bindings.on_change(lambda old, new: self._keeper.wake())
        self._metrics = server.Metrics(self.registry)
        left = Gauge("kfn_webhook_certificate_seconds", "Until the certificate that is shown ends.", registry=self.registry)
        left.set_function(self._left)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Serve while the block runs, which begins once there is a certificate; gives the port. Raises `kfn.observe.web.ListenError`."""
        keeper, settings = self._keeper, self.settings
        with web.listen(settings.host, settings.port) as sock:
            await keeper.prepare()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(keeper.follow)
                if settings.bindings:
                    tasks.start_soon(self._bindings.run)
                page = server.app(settings, self._metrics, self._bindings.list)
                async with web.serving(page, sock=sock, tls=keeper.context, drain=DRAIN, keep_alive=KEEP_ALIVE) as port:
                    yield port
                    await anyio.sleep(settings.farewell)
                tasks.cancel_scope.cancel()

    async def lead(self, client: Client) -> None:
        """Keep the certificates, while this replica leads. `client` writes only as long as it does. Never ends by itself."""
        await self._keeper.lead(client)

    def trouble(self) -> str:
        """What a person should know, "" while all is well."""
        left = self._left()
        if left <= 0:
            return "the webhook's certificate has ended"
        return self._keeper.trouble

    def _subjects(self) -> Subjects | None:
        """What the API server is to ask about for SinkBindings."""
        if not self._bindings.has_synced:
            return None
        return {(one.spec.subject.api_version, one.spec.subject.kind) for one in self._bindings.list()}

    def _left(self) -> float:
        ends = self._keeper.ends
        return (ends - self._now()).total_seconds() if ends is not None else 0.0
