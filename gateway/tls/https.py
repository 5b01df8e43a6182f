"""The HTTPS door of a gateway: its certificates and what keeps them true. A connection is `connection`'s affair, listening `doors`'."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from gateway.http1.inbound import ClientConnection
from gateway.settings import Settings
from gateway.tls.certificates import LABEL, Certificates
from gateway.tls.connection import TlsConnection
from kfn.api import kinds
from kfn.api.core import Secret
from kfn.kube.client import Client
from kfn.kube.informer import Informer

if TYPE_CHECKING:
    from gateway.chain import Chain

log = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds for the first list of Secrets: plain requests are not kept waiting for a certificate


class Https:
    def __init__(self, client: Client, settings: Settings) -> None:
        self.port = 0  # once somebody listens
        self._client = client
        self._settings = settings
        self._protocols = ("h2", "http/1.1") if settings.http2 and settings.tls_http2 else ("http/1.1",)
        self.certificates = Certificates(settings.tls_files, named=settings.tls_secrets, protocols=self._protocols)

    async def prepared(self, tasks: TaskGroup, chain: "Chain") -> Callable[[], asyncio.Protocol]:
        """Read the certificates, and return what serves one connection. Raises CertificateError for a file; a Secret may come later."""
        certificates = self.certificates
        if "h2" in self._protocols:
            import gateway.http2.inbound  # noqa: F401 - takes 60 ms, in which the first client of HTTP/2 would stop all others
        certificates.start()
        tasks.start_soon(self._look_at_files)
        await self._watch(tasks)
        if certificates.context is None:
            log.warning("no certificate yet: handshakes fail until there is one (%s)", ", ".join(self._awaited()))
        return lambda: TlsConnection(chain, certificates, lambda protocol: self._above(chain, protocol))

    def _above(self, chain: "Chain", protocol: str) -> asyncio.Protocol:
        if protocol == "h2":
            from gateway.http2.inbound import Http2Connection  # takes 13 ms, which only those pay who use it

            return Http2Connection(chain, local=self._settings.local_port is None, scheme=b"https")
        return ClientConnection(chain, local=self._settings.local_port is None, scheme=b"https")

    async def _look_at_files(self) -> None:
        while True:
            await anyio.sleep(self._settings.tls_check)
            try:
                self.certificates.check()
            except Exception:
                log.exception("looking at the certificates' files failed; the gateway goes on")

    async def _watch(self, tasks: TaskGroup) -> None:
        """One Secret at a time by its name, which RBAC can allow by resourceNames; by label in one namespace, which a Role can allow."""
        informers: list[Informer[Secret]] = []
        for one in self._settings.tls_secrets:
            namespace, _, name = one.partition("/")
            named = Informer(self._client, kinds.SECRET, namespace=namespace, fields=f"metadata.name={name}", keep=_without_keys)
            named.on_change(self.certificates.named_changed)
            informers.append(named)
        if self._settings.tls_secrets_namespace:
            namespace = self._settings.tls_secrets_namespace
            labelled = Informer(self._client, kinds.SECRET, namespace=namespace, labels=f"{LABEL}=true", keep=_without_keys)
            labelled.on_change(self.certificates.labelled_changed)
            informers.append(labelled)
        for informer in informers:
            tasks.start_soon(informer.run)
        with anyio.move_on_after(PATIENCE):
            for informer in informers:
                await informer.synced()

    def _awaited(self) -> list[str]:
        found = [f"Secret {name}" for name in self._settings.tls_secrets]
        if self._settings.tls_secrets_namespace:
            found.append(f"a Secret in {self._settings.tls_secrets_namespace} with the label {LABEL}=true")
        return found or ["none is named: set tls_files, tls_secrets or tls_secrets_namespace"]


def _without_keys(secret: Secret) -> Secret:
    """What the informer keeps: certificates and keys are in OpenSSL's memory already."""
    return Secret(metadata=secret.metadata, type=secret.type)
