"""The gateway's certificate on one machine: from the platform's own authority, for every name that a function has here.

A wildcard stands for one label, so every namespace needs one of its own. The certificate is made anew when a name is missing or its end is
near; the gateway is told then. Whoever has files of their own does not need this.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import anyio

from embedded import tls
from kfn.api import kinds, names
from kfn.api.serving import Route
from kfn.kube.client import Client
from kfn.kube.informer import Informer

log = logging.getLogger(__name__)

LOOK = 86400.0  # seconds between two looks at how near the end is


class OwnCertificate:
    def __init__(self, directory: Path, host: str, client: Client) -> None:
        """`host` is where the gateway listens."""
        self._directory = directory
        self._client = client
        everywhere = host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
        self._names = {"localhost", "127.0.0.1", "::1", _wildcard("default"), *(() if everywhere else (host,))}
        self._missing = anyio.Event()

    def files(self) -> tuple[str, str]:
        """Certificate and key, made or renewed as needed."""
        made = tls.ensure(self._directory, sorted(self._names), "gateway")
        return str(made.cert_path), str(made.key_path)

    async def run(self, changed: Callable[[], object]) -> None:
        """Follow the functions' names; `changed` is called when there is another certificate."""
        routes = Informer(self._client, kinds.ROUTE)
        routes.on_change(self._route_changed)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(routes.run)
            while True:
                with anyio.move_on_after(LOOK):
                    await self._missing.wait()
                self._missing = anyio.Event()
                self.files()
                changed()

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        if new is None:
            return
        found = {_wildcard(new.metadata.namespace), *filter(None, new.status.annotations.get(names.HOSTS, "").split(","))}
        if not found <= self._names:
            self._names |= found
            self._missing.set()


def _wildcard(namespace: str) -> str:
    return f"*.{namespace}.localhost"
