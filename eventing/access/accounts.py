"""The reconciler of namespaces: its account at NATS, and the Secret with its functions' credentials. What a grant may do is `grants.py`'s.

There is an account as long as there is a Broker or a Channel, or a function that asks. Nothing is kept beside the API objects: a role that
no function has any more is not in the account any more, and with it goes everybody who was let in by it.
"""

import base64
import binascii
import logging
import time
from collections.abc import Mapping
from typing import Any

from eventing import errors
from eventing.access import grants
from eventing.access.grants import Consumer, Grant
from eventing.access.warden import Warden
from eventing.settings import Settings
from eventing.trigger import broker_name
from eventing.watched import World
from kfn.api import annotations, kinds, names
from kfn.api.core import Secret
from kfn.api.meta import ObjectMeta
from kfn.api.serving import Service
from kfn.busauth import claims
from kfn.busauth.claims import Account
from kfn.busauth.keys import Keys
from kfn.kube import errors as kube
from kfn.kube import reconcile
from kfn.kube.client import Client
from kfn.kube.reconcile import Done

log = logging.getLogger(__name__)

RESYNC = 300.0  # seconds; a Secret that somebody changed is put right
LABELS = {"app.kubernetes.io/managed-by": "kfn"}


class NotOurs(Exception):
    """There is a Secret of that name that is not kfn's."""


class Accounts:
    """`authority` is what signs NATS's certificate, in PEM; empty if that is nobody in particular."""

    def __init__(self, client: Client, world: World, settings: Settings, authority: str = "") -> None:
        self._client, self._world, self._settings = client, world, settings
        self._keys = Keys(settings.nats_keys)
        self._authority = authority
        self._told: dict[str, Account] = {}
        self._without: set[str] = set()  # namespaces that have no Secret of ours
        self._warden = Warden(settings, self._keys, self._again)

    async def run(self) -> None:
        """Until cancelled."""
        async with self._warden.connected():
            await self._forget()
            for namespace in self._namespaces():
                self._world.namespaces.add(namespace)
            await reconcile.run(self._world.namespaces, self.reconcile, workers=2, backoff_max=10.0)

    async def reconcile(self, namespace: str) -> Done:
        triggers = {
            one.metadata.name: Consumer(broker_name(one), one.metadata.uid)
            for one in self._world.triggers.informer.list(namespace)
            if not one.metadata.deletion_timestamp
        }
        asking = [one for one in self._world.services.list(namespace) if asks(one)]
        found = [Grant(role(one), *grants.asked(one.metadata.annotations, triggers)) for one in asking]
        try:
            await self._account(namespace, found)
        except errors.BusError as error:
            log.warning("namespace %s: %s", namespace, error)
            return Done(again_after=2.0)
        try:
            renew = await self._secret(namespace, asking)
        except kube.Forbidden:
            if not asking:
                return Done(again_after=RESYNC)  # then there is none of ours
            log.warning(
                "namespace %s: functions ask for credentials for NATS, and eventing may not write Secret %s: set nats.functions.enabled",
                namespace, names.NATS_CREDENTIALS,
            )  # fmt: skip
            return Done(again_after=60.0)
        except NotOurs as error:
            log.warning("%s", error)
            return Done(again_after=60.0)
        except (kube.Conflict, kube.NotFound):
            return Done(again_after=0.2)  # somebody else wrote or removed it meanwhile
        return Done(again_after=renew)

    async def _account(self, namespace: str, found: list[Grant]) -> None:
        account = grants.account(self._keys, namespace, found)
        if not found and not self._has_places(namespace):
            if self._told.pop(namespace, None) is not None:
                await self._warden.forget([account.key])
            return
        if self._told.get(namespace) != account:
            await self._warden.put(account)
            self._told[namespace] = account

    async def _secret(self, namespace: str, asking: list[Service]) -> float:
        """Write what is not as it should be. Gives the seconds until it has to be looked at again."""
        if not asking and namespace in self._without:
            return RESYNC
        now = await self._there(namespace)
        if not asking:
            if now is not None:
                await self._client.delete(kinds.SECRET, names.NATS_CREDENTIALS, namespace)
            self._without.add(namespace)
            return RESYNC
        self._without.discard(namespace)
        wanted, renew = {"url": self._settings.nats_url, "ca.crt": self._authority}, RESYNC
        for service in asking:
            name = service.metadata.name
            old = (now or {}).get(f"{name}.creds", "")
            wanted[f"{name}.creds"], wanted[f"{name}.inbox"], left = self._credentials(namespace, role(service), old)
            renew = min(renew, left)
        if now != wanted:
            await self._write(namespace, now, wanted)
        return max(renew, 1.0)

    def _credentials(self, namespace: str, of: str, now: str) -> tuple[str, str, float]:
        """A .creds file, its inbox, and how long it need not be renewed. That which is there stays while it is good for long enough."""
        key, signer, account = self._keys.user(namespace, of), self._keys.role(namespace, of), self._keys.namespace(namespace).public
        life, at = self._settings.nats_credential_life, int(time.time())
        try:
            given = claims.read(claims.token_of(now)) if now else {}
        except ValueError:
            given = {}
        left = float(given.get("exp", 0)) - at - life / 2
        if left > 0 and (given.get("iss"), given.get("sub"), given["nats"].get("issuer_account")) == (signer.public, key.public, account):
            return now, grants.inbox(key.public), left
        token = claims.member(signer, account, f"{namespace}/{of}", key.public, at, lasts=int(life))
        return claims.credentials(token, key), grants.inbox(key.public), life / 2

    async def _there(self, namespace: str) -> dict[str, str] | None:
        try:
            found = await self._client.get(kinds.SECRET, names.NATS_CREDENTIALS, namespace)
        except kube.NotFound:
            return None
        if any(found.metadata.labels.get(name) != value for name, value in LABELS.items()):
            raise NotOurs(
                f"Secret {namespace}/{names.NATS_CREDENTIALS} is not kfn's; give it another name, for functions there ask for NATS"
            )
        return {name: _text(value) for name, value in found.data.items()}

    async def _write(self, namespace: str, now: Mapping[str, str] | None, wanted: Mapping[str, str]) -> None:
        data: dict[str, Any] = {name: base64.b64encode(value.encode()).decode() for name, value in wanted.items()}
        if now is None:
            meta = ObjectMeta(name=names.NATS_CREDENTIALS, namespace=namespace, labels=LABELS)
            await self._client.create(kinds.SECRET, Secret(metadata=meta, type="Opaque", data=data), namespace)
        else:
            patch = {"data": {**dict.fromkeys(set(now) - set(wanted)), **data}}
            await self._client.patch(kinds.SECRET, names.NATS_CREDENTIALS, namespace, patch)
        log.info("namespace %s: wrote the credentials of its functions for NATS", namespace)

    def _again(self) -> None:
        self._told.clear()
        for namespace in self._namespaces():
            self._world.namespaces.add(namespace)

    async def _forget(self) -> None:
        """Accounts of namespaces that went while nobody looked."""
        wanted = {self._keys.system.public, self._keys.platform.public}
        wanted |= {self._keys.namespace(namespace).public for namespace in self._namespaces()}
        try:
            gone = [key for key in await self._warden.known() if key not in wanted]
            if gone:
                await self._warden.forget(gone)
                log.info("NATS forgot %d accounts of namespaces without events", len(gone))
        except errors.BusError as error:
            log.warning("%s", error)

    def _namespaces(self) -> set[str]:
        world = self._world
        found = {one.metadata.namespace for watched in (world.brokers, world.channels) for one in watched.informer.list()}
        return found | {one.metadata.namespace for one in world.services.list() if asks(one)}

    def _has_places(self, namespace: str) -> bool:
        return any(watched.informer.list(namespace) for watched in (self._world.brokers, self._world.channels))


def asks(service: Service) -> bool:
    """Whether a function wants to speak NATS. Its template's annotations are those that are remembered of it."""
    meta = service.metadata
    return not meta.deletion_timestamp and bool(annotations.nats_publish(meta.annotations) or annotations.nats_pull(meta.annotations))


def role(service: Service) -> str:
    return f"{service.metadata.name}/{service.metadata.uid}"


def _text(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
