"""Who may publish to a Broker or Channel that asks for a token: one whose annotation `eventing.kfn.dev/auth` names a Secret.

Every value of that Secret is a token that is accepted, so that one can be replaced by another without a moment in which neither is.
kfn's own senders carry a pass instead, which is good for the places of one namespace: a Trigger of another cannot use kfn to get in.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio

from eventing.conditions import false, true
from kfn.api import kinds, names
from kfn.api.meta import Condition
from kfn.kube import errors as kube
from kfn.kube.client import Client

log = logging.getLogger(__name__)

AGE = 15.0  # seconds after which a Secret is read again by the next request; a change counts within twice that
PATIENCE = 5.0  # how long a request waits for the API server
SHORTEST, LONGEST, MOST = 16, 4096, 64  # bytes of a token; tokens of a Secret
KEPT = 10_000  # Secrets
_MARK = "kfn-pass."


class Shut(Exception):
    """The request does not get in: with this status, for this reason."""

    def __init__(self, status: int, text: str, challenge: str = "") -> None:
        super().__init__(text)
        self.status, self.text = status, text
        self.headers = {"WWW-Authenticate": challenge} if challenge else {"Retry-After": "5"}


class Passes:
    """What kfn's own senders show. Replicas share it, since they share the platform's token; nobody can get that from a pass."""

    def __init__(self, token: str) -> None:
        self._key = hmac.digest(token.encode() or secrets.token_bytes(32), b"kfn's own senders", "sha256")

    def of(self, namespace: str) -> str:
        mark = hmac.new(self._key, namespace.encode(), hashlib.sha256).hexdigest()
        return f"{_MARK}{mark}"


@dataclass(slots=True)
class _Known:
    tokens: tuple[bytes, ...] = ()
    wrong: str = "has not been read yet"  # why there is none
    read: float = float("-inf")
    reading: anyio.Lock = field(default_factory=anyio.Lock)


class Gate:
    """`secret_of` gives the name of the Secret that a place asks for; empty if it asks for none."""

    def __init__(self, client: Client, secret_of: Callable[[str, str], str], passes: Passes) -> None:
        self._client, self._secret_of, self._passes = client, secret_of, passes
        self._known: dict[tuple[str, str], _Known] = {}

    def guards(self, namespace: str, place: str) -> bool:
        return bool(self._secret_of(namespace, place))

    async def admit(self, namespace: str, place: str, authorization: str) -> None:
        """Raises `Shut`."""
        name = self._secret_of(namespace, place)
        if not name:
            return
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise Shut(401, "publishing here takes a token: Authorization: Bearer ...", 'Bearer realm="kfn events"')
        token = given.strip().encode("utf-8", "surrogateescape")
        own = hmac.compare_digest(token, self._passes.of(namespace).encode())
        known = await self._tokens(namespace, name)
        matching = sum([hmac.compare_digest(token, one) for one in known.tokens])  # all of them, whichever it is
        if own or matching:
            return
        if not known.tokens:
            raise Shut(503, f"this takes a token, but Secret {namespace}/{name} {known.wrong}")
        raise Shut(401, "the token is not one of those that are accepted here", 'Bearer realm="kfn events", error="invalid_token"')

    async def state(self, namespace: str, place: str) -> Condition:
        """Who may publish there, as a condition; False where nobody can."""
        name = self._secret_of(namespace, place)
        if not name:
            return true("EventPoliciesReady", "DefaultAuthorizationMode", "Anyone who reaches the ingress may publish.")
        known = await self._tokens(namespace, name)
        if known.tokens:
            return true("EventPoliciesReady", "TokenRequired", f"Who has a token of Secret {name} may publish.")
        return false(
            "EventPoliciesReady", "NoToken", f"annotation {names.AUTH}: Secret {namespace}/{name} {known.wrong}; nobody can publish"
        )

    async def _tokens(self, namespace: str, name: str) -> _Known:
        """Those of the Secret. One request reads it anew, those beside it go by what is known."""
        if (namespace, name) not in self._known and len(self._known) >= KEPT:
            self._known.clear()
        known = self._known.setdefault((namespace, name), _Known())
        if anyio.current_time() - known.read < AGE or (known.tokens and known.reading.locked()):
            return known
        async with known.reading:
            if anyio.current_time() - known.read >= AGE:
                await self._read(known, namespace, name)
        return known

    async def _read(self, known: _Known, namespace: str, name: str) -> None:
        tokens: tuple[bytes, ...] = ()
        try:
            with anyio.fail_after(PATIENCE):
                found = await self._client.get(kinds.SECRET, name, namespace)
            tokens, wrong = accepted(found.data)
        except kube.NotFound:
            wrong = "does not exist"
        except kube.Forbidden:
            wrong = "may not be read; name it kfn-events, or let the service account of kfn-eventing get it"
        except (kube.KubeError, TimeoutError) as error:
            log.warning("secret %s/%s cannot be read now: %s; what it held counts until it can", namespace, name, error or "no answer")
            known.read = anyio.current_time() - AGE + 1  # not with every request
            if not known.tokens:
                known.wrong = "cannot be read now"
            return
        known.tokens, known.wrong, known.read = tokens, wrong, anyio.current_time() if tokens else anyio.current_time() - AGE + 1


def accepted(data: Mapping[str, str]) -> tuple[tuple[bytes, ...], str]:
    """The tokens in a Secret, and why there are none."""
    if len(data) > MOST:
        return (), f"has more than {MOST} keys"
    found = []
    for key, value in sorted(data.items()):
        try:
            token = base64.b64decode(value, validate=True).strip()
        except binascii.Error:
            return (), f"is wrong: its key {key!r} is not base64"
        if not SHORTEST <= len(token) <= LONGEST:
            return (), f"is wrong: its key {key!r} has {len(token)} bytes; a token has {SHORTEST} to {LONGEST}"
        found.append(token)
    return tuple(found), "" if found else "holds no token"
