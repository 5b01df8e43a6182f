"""A connection to somebody else's NATS server, kept for as long as it takes: as the bus's own, but with many servers, a login, and TLS.

What is wrong with it is told to whoever reads from it, in words that may stand in a status.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import nats.errors

from eventing.bus import Bus
from eventing.settings import Settings
from eventing.sources.queues import trust
from kfn.busauth import nkey
from kfn.busauth.nkey import Identity


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are and whom we trust, as it stands in Secrets. Nothing of it is ever shown."""

    tls: bool = False
    user: bytes = field(default=b"", repr=False)
    password: bytes = field(default=b"", repr=False)
    token: bytes = field(default=b"", repr=False)
    credentials: bytes = field(default=b"", repr=False)
    nkey: bytes = field(default=b"", repr=False)
    ca: bytes = field(default=b"", repr=False)
    cert: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)

    def options(self) -> tuple[dict[str, Any], Identity | None]:
        """For nats-py, and the key that signs. Raises ValueError, whose message names the field."""
        made: dict[str, Any] = {}
        if self.user:
            made |= {"user": _text(self.user), "password": _text(self.password)}
        if self.token:
            made["token"] = _text(self.token)
        if self.tls:
            made["tls"] = trust.context("spec.tls", self.ca, self.cert, self.key)
        return made, self._identity()

    def _identity(self) -> Identity | None:
        try:
            if self.credentials:
                return nkey.from_credentials(_text(self.credentials))
            return nkey.from_seed(_text(self.nkey)) if self.nkey else None
        except nkey.NkeyError as error:
            raise ValueError(f"spec.auth.{'credentials' if self.credentials else 'nkey'} {error}") from None


class Remote(Bus):
    """`say` is told what is wrong, or "" when it is connected. Raises ValueError for a login that cannot be used."""

    def __init__(self, servers: tuple[str, ...], login: Login, name: str, say: Callable[[str], None]) -> None:
        super().__init__(Settings())
        self._servers, self._name, self._say = servers, name, say
        self._options, identity = login.options()
        context = self._options.pop("tls", None)
        self.client.tls = (lambda: context) if context is not None else None  # asked for by us, whatever the server says
        if identity is not None:
            self._options["signature_cb"] = identity.sign
            if identity.jwt:
                self._options["user_jwt_cb"] = identity.jwt.encode
            else:
                self.client._public_nkey = identity.public

    async def _connect(self) -> None:
        await self.client.connect(
            list(self._servers),
            name=self._name,
            max_reconnect_attempts=-1,  # the default closes for good after two minutes
            reconnect_time_wait=1.0,
            connect_timeout=5,
            ping_interval=10,  # the default notices a dead peer after four minutes
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_reconnect,
            closed_cb=self._on_close,
            **self._options,
        )
        self._up.set()
        self._say("")

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, nats.errors.SlowConsumerError):
            self.dropped()
        elif not self.is_up or "permissions violation" in str(error).lower():  # which ends no connection, only what was asked for
            self._say(str(error) or type(error).__name__)

    async def _on_disconnect(self) -> None:
        if not self._closing and self._up.is_set():
            self._up = anyio.Event()
            self._say("the connection was lost; connecting again")

    async def _on_reconnect(self) -> None:
        self.epoch += 1
        self._up.set()
        self._say("")
        for listener in list(self._listeners):
            listener()

    async def _on_close(self) -> None:
        if not self._closing:
            self._say("the server closed the connection for good; are the credentials still right?")
            self._lost.set()

    def dropped(self) -> None:
        """A message came faster than it could be kept."""


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip()
