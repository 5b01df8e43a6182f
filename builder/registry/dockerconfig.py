"""Docker's configuration file, podman's auth.json and Kubernetes' pull secrets, read: who to be at which registry. Pure.

All of them map a registry (or a path in it) to a login. The old `.dockercfg` form has that map at the top.
"""

import base64
import binascii
import fnmatch
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from builder.errors import UsageError
from builder.registry.reference import HUB, HUB_HOST, HUB_KEY

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TOKEN_USER = "<token>"  # what helpers call the user of an identity token  # noqa: S105


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login: `user` and `password`, or an `identity_token` that a token server takes instead. `source` may be shown, they not."""

    user: str
    password: str = field(repr=False)
    source: str
    identity_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """One file. `helpers` by registry, `store` for all others, `auths` as written."""

    source: str
    auths: Mapping[str, Any] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""


def read(data: bytes, source: str) -> Config:
    """`source` names the file in errors; its content never appears in one."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise UsageError(f"{source} is not JSON; repair it or log in again") from None
    if not isinstance(body, dict):
        raise UsageError(f"{source} is not a JSON object")
    if "auths" not in body and not {"credsStore", "credHelpers"} & set(body):
        old = {key: value for key, value in body.items() if isinstance(value, dict) and {"auth", "username", "identitytoken"} & set(value)}
        return Config(source, old)
    auths, helpers = body.get("auths") or {}, body.get("credHelpers") or {}
    if not isinstance(auths, dict) or not isinstance(helpers, dict):
        raise UsageError(f"{source}: auths and credHelpers are objects")
    return Config(source, auths, {str(host): str(name) for host, name in helpers.items()}, str(body.get("credsStore") or ""))


def helper(config: Config, registry: str) -> str:
    """The name of the credential helper for a registry. Raises UsageError for one that is no program's name."""
    name = next((config.helpers[key] for key in config.helpers if _plain(key) == _plain(registry)), config.store)
    if name and not _HELPER.fullmatch(name):
        raise UsageError(f"{config.source}: {name[:60]!r} is not the name of a credential helper")
    return name


def helper_key(registry: str) -> str:
    """How a helper knows a registry."""
    return HUB_KEY if registry == HUB else registry


def login(config: Config, registry: str, repository: str) -> Credentials | None:
    """The login for a repository: the longest path that fits (podman), then the host, then a pattern (Kubernetes)."""
    wanted = f"{_plain(registry)}/{repository}"
    best, length = None, -1
    for key, value in config.auths.items():
        plain = _plain(key)
        fits = wanted == plain or wanted.startswith(f"{plain}/")
        rank = len(plain) + 1 if fits else 0 if _matches(plain, wanted) else -1
        if rank > length and isinstance(value, dict) and (found := _entry(value, f"{config.source} ({key})")):
            best, length = found, rank
    return best


def _entry(value: dict[str, Any], source: str) -> Credentials | None:
    token = str(value.get("identitytoken") or "")
    user, password = str(value.get("username") or ""), str(value.get("password") or "")
    if value.get("auth"):
        try:
            text = base64.b64decode(str(value["auth"]), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise UsageError(f"{source}: auth is not base64 of user:password; log in again") from None
        user, colon, password = text.partition(":")
        password = password.rstrip("\0")
        if not colon:
            raise UsageError(f"{source}: auth is not base64 of user:password; log in again")
    if not token and not (user and password):
        return None  # an empty entry marks that a helper has it
    return Credentials(user, password, source, token)


def answer(data: bytes, source: str) -> Credentials | None:
    """What a credential helper printed."""
    try:
        body = json.loads(data)
        user, secret = str(body["Username"]), str(body["Secret"])
    except (ValueError, KeyError, TypeError):
        return None
    if user == _TOKEN_USER:
        return Credentials("", "", source, secret)
    return Credentials(user, secret, source)


def _plain(key: str) -> str:
    """Without scheme and API version, Docker Hub by its one name."""
    text = key.partition("://")[2] or key
    text = re.sub(r"/v[12]/?$", "", text).rstrip("/")
    host, slash, path = text.partition("/")
    host = host.lower()
    return (HUB if host in (HUB, f"index.{HUB}", HUB_HOST) else host) + slash + path


def _matches(pattern: str, wanted: str) -> bool:
    """`*.example.com/team`: a star stands for letters of one part of the host."""
    if "*" not in pattern:
        return False
    host, _, path = pattern.partition("/")
    its, _, repository = wanted.partition("/")
    ours, theirs = host.split("."), its.split(".")
    return (
        len(ours) == len(theirs)
        and all(fnmatch.fnmatchcase(t, o) for o, t in zip(ours, theirs, strict=True))
        and (not path or repository == path or repository.startswith(f"{path}/"))
    )
