"""The tokens that nats-server believes: of an operator, its accounts and their users, each signed by the one above (NATS JWT, version 2).

What a limit is not named for is unlimited; what is not allowed by a subject is forbidden. Pure: the caller says when it is.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kfn.busauth.nkey import Key

_NONE = -1  # no limit
_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}


@dataclass(frozen=True, slots=True)
class Permissions:
    """Subjects. Nothing else may be published or subscribed to."""

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()

    @property
    def claim(self) -> dict[str, Any]:
        return {"pub": _rule(self.publish), "sub": _rule(self.subscribe)}


@dataclass(frozen=True, slots=True)
class Service:
    """What one account offers others, or takes from `account`: requests on `subject`. `many`: a request has more than one answer."""

    name: str
    subject: str
    many: bool = False
    account: str = ""

    @property
    def exported(self) -> dict[str, Any]:
        return {"name": self.name, "subject": self.subject, "type": "service", "response_type": "Stream" if self.many else "Singleton"}

    @property
    def imported(self) -> dict[str, Any]:
        return {"name": self.name, "subject": self.subject, "type": "service", "account": self.account}


@dataclass(frozen=True, slots=True)
class Account:
    """`roles` are keys that may sign users, each with what such a user may do: without its role a user is not let in any more."""

    name: str
    key: str
    streams: bool = False  # whether it may store anything
    exports: Sequence[Service] = ()
    imports: Sequence[Service] = ()
    roles: Sequence[tuple[str, str, Permissions]] = field(default=())  # name, public key, permissions
    connections: int = _NONE


def operator(key: Key, system: str, now: int) -> str:
    return _token(key, {"name": "kfn", "sub": key.public}, {"type": "operator", "version": 2, "system_account": system}, now)


def account(operator: Key, one: Account, now: int) -> str:
    storage = _NONE if one.streams else 0
    limits = {
        "subs": _NONE, "data": _NONE, "payload": _NONE, "imports": _NONE, "exports": _NONE, "wildcards": True, "conn": one.connections,
        "leaf": 0, "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage,
    }  # fmt: skip
    claim = {
        "type": "account", "version": 2, "limits": limits, "default_permissions": {"pub": {}, "sub": {}},
        "exports": [service.exported for service in one.exports],
        "imports": [service.imported for service in one.imports],
        "signing_keys": [
            {"kind": "user_scope", "key": key, "role": name, "template": {**allowed.claim, **_FREE}} for name, key, allowed in one.roles
        ],
    }  # fmt: skip
    return _token(operator, {"name": one.name, "sub": one.key}, claim, now)


def user(signer: Key, name: str, key: str, allowed: Permissions, now: int, *, lasts: int = 0) -> str:
    """A user with permissions of its own. `signer` is the account itself. `lasts` is seconds; 0: for ever."""
    return _token(signer, {"name": name, "sub": key} | _until(now, lasts), {"type": "user", "version": 2, **allowed.claim, **_FREE}, now)


def member(role: Key, account: str, name: str, key: str, now: int, *, lasts: int = 0) -> str:
    """A user who may do what its role may, as long as its account has that."""
    claim = {"type": "user", "version": 2, "issuer_account": account, "pub": {}, "sub": {}}
    return _token(role, {"name": name, "sub": key} | _until(now, lasts), claim, now)


def deletion(operator: Key, accounts: Sequence[str], now: int) -> str:
    """The order to a server to forget accounts."""
    return _token(operator, {"sub": operator.public}, {"accounts": list(accounts)}, now)


def read(token: str) -> dict[str, Any]:
    """What a token of ours says; its signature is the server's to check. Raises `ValueError`."""
    try:
        body = token.split(".")[1]
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError) as error:
        raise ValueError(f"not a NATS token: {error}") from None
    return found


def token_of(credentials: str) -> str:
    """The token in a .creds file; empty if there is none."""
    _, _, rest = credentials.partition("-----BEGIN NATS USER JWT-----\n")
    return rest.partition("\n")[0]


def credentials(token: str, key: Key) -> str:
    """A .creds file, as every NATS client reads it."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{key.seed}\n------END USER NKEY SEED------\n"
    )


_FREE = {"subs": _NONE, "data": _NONE, "payload": _NONE}


def _until(now: int, lasts: int) -> dict[str, int]:
    return {"exp": now + lasts} if lasts else {}


def _rule(subjects: tuple[str, ...]) -> dict[str, list[str]]:
    return {"allow": list(subjects)} if subjects else {"deny": [">"]}


def _token(signer: Key, subject: dict[str, Any], claim: dict[str, Any], now: int) -> str:
    body = {"iat": now, "iss": signer.public, **subject, "nats": claim}
    # A server that knows this id takes the token for one that it has already.
    id = base64.b32encode(hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()).decode().rstrip("=")
    unsigned = f"{_encoded(_HEADER)}.{_encoded({'jti': id, **body})}"
    return f"{unsigned}.{_base64(signer.sign(unsigned.encode()))}"


def _encoded(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
