"""The webhook's certificate: kept in a Secret, shown by every replica, and made known and replaced by the one that leads.

What is to be done when is `rotation`'s decision. Replicas that start together may all find the Secret empty: each writes what it has
made on the condition that nobody wrote before, and takes what is there if somebody did.
"""

import base64
import binascii
import logging
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio
from msgspec.structs import replace

from controller.webhook import configuration, rotation
from controller.webhook.rotation import CERT, KEY, Contents, Step
from controller.webhook.settings import Settings
from kfn import servertls
from kfn.api import kinds
from kfn.api.base import Json
from kfn.api.core import Secret
from kfn.api.kinds import Kind
from kfn.api.meta import ObjectMeta
from kfn.clock import utcnow
from kfn.kube import errors
from kfn.kube.client import JSON_PATCH, Client
from kfn.kube.informer import Informer

log = logging.getLogger(__name__)

Subjects = Iterable[tuple[str, str]]
_AGAIN = 2.0  # seconds after a failure


@dataclass(frozen=True, slots=True)
class _Kept:
    """A configuration that is kept: which, the page that it names, and how it is made as a whole."""

    kind: Kind[Any]
    path: str
    whole: Callable[[Settings, bytes], Json]
    name: str = configuration.NAME


_BINDINGS = _Kept(kinds.MUTATING_WEBHOOKS, configuration.BIND, configuration.binding, configuration.BINDINGS)
_KEPT = (
    _Kept(kinds.MUTATING_WEBHOOKS, configuration.DEFAULT, configuration.mutating),
    _Kept(kinds.VALIDATING_WEBHOOKS, configuration.VALIDATE, configuration.validating),
)


class Keeper:
    def __init__(
        self,
        client: Client,
        settings: Settings,
        now: Callable[[], datetime] = utcnow,
        subjects: Callable[[], Subjects | None] = lambda: None,
    ) -> None:
        """`subjects` has the apiVersion and kind of what SinkBindings are about; None while that is not known."""
        self._subjects = subjects
        self._kept = (*_KEPT, _BINDINGS) if settings.bindings else _KEPT
        self.context = servertls.context()  # what new connections begin with
        self.trouble = ""  # what went wrong last, "" while all is well
        self._client = client
        self._settings = settings
        self._now = now
        self._shown: Contents = {}
        self._contents: Contents = {}
        self._changed = anyio.Event()

    @property
    def ends(self) -> datetime | None:
        """When the certificate that is shown ends; None before there is one."""
        return rotation.ends(self._shown) if self._shown else None

    async def prepare(self) -> None:
        """Return once there is a certificate to show: the Secret's, or one of our own that is now the Secret's."""
        while True:
            try:
                self._take(await self._usable())
                self.trouble = ""
                return
            except errors.KubeError as error:
                self._complain(f"the certificate in Secret {self._place} cannot be had: {error}")
                await anyio.sleep(_AGAIN)

    async def follow(self) -> None:
        """Show what the Secret holds, as it changes. Connections that are open go on."""
        settings = self._settings
        informer = Informer(self._client, kinds.SECRET, namespace=settings.namespace, fields=f"metadata.name={settings.secret}")
        informer.on_change(lambda old, new: self._take(new))
        await informer.run()

    async def lead(self, client: Client) -> None:
        """Replace the certificate in time, and keep the API server trusting it. Never ends by itself."""
        copies = [Informer(client, kept.kind, fields=f"metadata.name={kept.name}") for kept in self._kept]
        async with anyio.create_task_group() as tasks:
            for copy in copies:
                copy.on_change(lambda old, new: self.wake())
                tasks.start_soon(copy.run)
            for copy in copies:
                await copy.synced()
            await self._keep(client, copies)

    async def _keep(self, client: Client, copies: list[Informer[Any]]) -> None:
        seen: Contents = {}
        unchanged_since = anyio.current_time()
        trusted_since: float | None = None
        while True:
            changed = self._changed
            now = anyio.current_time()
            if self._contents != seen:
                seen, unchanged_since, trusted_since = self._contents, now, None
            try:
                if rotation.usable(seen, self._now()) and await self._made_known(client, copies, seen[rotation.AUTHORITIES]):
                    trusted_since = now if trusted_since is None else trusted_since
                else:
                    trusted_since = None
                plan = rotation.plan(
                    seen, self._now(), self._settings,
                    trusted_for=None if trusted_since is None else now - trusted_since, unchanged_for=now - unchanged_since,
                )  # fmt: skip
                if plan.step is not Step.WAIT:
                    log.info("webhook certificate: %s: %s", plan.step.value, plan.why)
                    await self._write(client, plan.step)
                    continue
                after, self.trouble = plan.after, ""
            except errors.KubeError as error:
                self._complain(f"the webhook's authority cannot be kept: {error}")
                after = _AGAIN
            with anyio.move_on_after(max(after, 0.05)):
                await changed.wait()

    async def _made_known(self, client: Client, copies: list[Informer[Any]], bundle: bytes) -> bool:
        """Whether all configurations are seen to name these authorities; what does not is mended first."""
        known = True
        for copy, kept in zip(copies, self._kept, strict=True):
            found = next(iter(copy.list()), None)
            if found is None:
                if self._settings.url:
                    known = False
                    await _unless_there(client.create(kept.kind, kept.whole(self._settings, bundle)))
                continue  # nobody asks; the chart brings it
            steps = configuration.repair(found.webhooks, self._settings, bundle, kept.path)
            if steps:
                known = False
                log.info("%s %s: writing the webhook's authority", kept.kind.kind, kept.name)
            subjects = self._subjects() if kept is _BINDINGS else None
            if subjects is not None and (rules := configuration.ruled(found.webhooks, configuration.binding_rules(subjects))):
                log.info("%s %s: writing what SinkBindings are about", kept.kind.kind, kept.name)
                steps += rules
            if steps:
                await client.patch(kept.kind, kept.name, None, steps, type=JSON_PATCH)
        return known

    async def _write(self, client: Client, step: Step) -> None:
        """Do it to the Secret as it is now; somebody else's write since is taken instead."""
        secret = await self._current(client)
        if (found := _decoded(secret)) != self._contents:
            self._take(secret)
            return
        if step is Step.CREATE and rotation.usable(self._shown, self._now()):
            wanted = self._shown  # somebody took it away: every replica shows it still
        else:
            wanted = rotation.perform(step, found, self._settings, self._now())
        self._take(await self._put(client, secret, wanted))

    async def _usable(self) -> Secret:
        while True:
            secret = await self._current(self._client)
            if rotation.usable(_decoded(secret), self._now()):
                return secret
            try:
                return await self._put(self._client, secret, rotation.created(self._settings, self._now()))
            except errors.Conflict:
                continue

    async def _current(self, client: Client) -> Secret:
        """The Secret, an empty one if there was none."""
        name, namespace = self._settings.secret, self._settings.namespace
        try:
            return await client.get(kinds.SECRET, name, namespace)
        except errors.NotFound:
            await _unless_there(client.create(kinds.SECRET, Secret(metadata=ObjectMeta(name=name), type="Opaque"), namespace))
            return await client.get(kinds.SECRET, name, namespace)

    async def _put(self, client: Client, secret: Secret, contents: Contents) -> Secret:
        data = {name: base64.b64encode(value).decode() for name, value in contents.items()}
        return await client.update(kinds.SECRET, replace(secret, data=data))

    def _take(self, secret: Secret | None) -> None:
        contents = _decoded(secret) if secret is not None else {}
        if contents != self._contents:
            self._contents = contents
            self.wake()
        if (contents.get(CERT), contents.get(KEY)) == (self._shown.get(CERT), self._shown.get(KEY)):
            return
        if not rotation.usable(contents, self._now()):
            self._complain(f"Secret {self._place} holds no certificate that can be used; the one before is still shown")
            return
        try:
            servertls.show(servertls.context(), contents[CERT], contents[KEY])  # what does not go here must not spoil the real one
            servertls.show(self.context, contents[CERT], contents[KEY])
        except (ssl.SSLError, OSError) as error:
            self._complain(f"Secret {self._place}: OpenSSL does not take the certificate: {error}")
            return
        self._shown = contents
        log.info("webhook certificate: valid until %s", rotation.ends(contents))

    def wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _complain(self, said: str) -> None:
        if said != self.trouble:
            log.warning("%s", said)
        self.trouble = said

    @property
    def _place(self) -> str:
        return f"{self._settings.namespace}/{self._settings.secret}"


async def _unless_there(creation: Any) -> None:
    try:
        await creation
    except errors.AlreadyExists:
        pass


def _decoded(secret: Secret) -> Contents:
    try:
        return {name: base64.b64decode(value, validate=True) for name, value in secret.data.items()}
    except binascii.Error:
        return {}
