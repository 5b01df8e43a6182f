"""The connection on which NATS is told of accounts. It is another account's than the one that events go by, and may do nothing else."""

import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import nats.errors

from eventing import errors, login
from eventing.connection import Connection
from eventing.settings import Settings
from kfn.busauth import claims
from kfn.busauth.claims import Account
from kfn.busauth.keys import Keys

log = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds for an answer


class Warden:
    """`again` is called after every reconnect: the server may have started with what it was told long ago."""

    def __init__(self, settings: Settings, keys: Keys, again: Callable[[], object]) -> None:
        self._settings, self._keys, self._again = settings, keys, again
        self._client = Connection()
        self._said = ""

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        self._client.tls = login.tls(self._settings)
        try:
            await self._client.connect(
                self._settings.nats_url,
                name="kfn-warden",
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.5,
                connect_timeout=5,
                ping_interval=10,
                error_cb=self._on_error,
                reconnected_cb=self._on_reconnect,
                **login.warden(self._keys),
            )
            yield
        finally:
            await self._client.end(3)

    async def put(self, account: Account) -> None:
        """From now on the account is so: who has lost a role is disconnected. Raises `BusError`."""
        await self._ask("UPDATE", claims.account(self._keys.operator, account, int(time.time())))

    async def known(self) -> list[str]:
        """The accounts that the server knows, by their keys. Raises `BusError`."""
        found = await self._ask("LIST", "")
        return [str(one) for one in found] if isinstance(found, list) else []

    async def forget(self, accounts: Sequence[str]) -> None:
        """Raises `BusError`."""
        await self._ask("DELETE", claims.deletion(self._keys.operator, accounts, int(time.time())))

    async def _ask(self, what: str, payload: str) -> object:
        try:
            message = await self._client.request(f"$SYS.REQ.CLAIMS.{what}", payload.encode(), timeout=PATIENCE)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise errors.Unavailable(f"NATS was not told of an account: {error or 'no answer'}") from error
        answer = json.loads(message.data)
        if "error" in answer:
            raise errors.Refused(f"NATS refused an account: {answer['error'].get('description', answer['error'])}")
        return answer.get("data")

    async def _on_error(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        if said != self._said:
            self._said = said
            log.warning("NATS, accounts: %s", said)

    async def _on_reconnect(self) -> None:
        self._said = ""
        self._again()
