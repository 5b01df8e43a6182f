"""What a registry client is told: one frozen dataclass, from environment and flags. And which hosts are spoken to without TLS."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult

from builder.errors import UsageError

PLAIN_HTTP, CA, AUTH_FILES = "KFN_REGISTRY_PLAIN_HTTP", "KFN_REGISTRY_CA", "KFN_REGISTRY_AUTH"
HOST, USER, PASSWORD, TIMEOUT = "KFN_REGISTRY_HOST", "KFN_REGISTRY_USER", "KFN_REGISTRY_PASSWORD", "KFN_REGISTRY_TIMEOUT"

_SECRET_FILES = (".dockerconfigjson", ".dockercfg", "config.json")


@dataclass(frozen=True, slots=True)
class Login:
    """A user and password for one registry, from the environment."""

    host: str
    user: str
    password: str = field(repr=False)
    source: str


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """Sizes in bytes, times in seconds."""

    plain_http: tuple[str, ...] = ()  # hosts, with their port if they have one, spoken to without TLS; loopback always is
    ca_file: Path | None = None  # certificates to trust beside the system's
    connect_timeout: float = 10.0
    read_timeout: float = 60.0  # of silence, also while a body is sent
    retries: int = 5  # after the first try
    backoff: float = 0.25  # the first pause is at most this, each further one at most twice as long
    longest_pause: float = 30.0  # a registry that asks for more with Retry-After is given up
    monolithic: int = 16 << 20  # a blob below this goes in one request
    chunk: int = 16 << 20  # of a larger one
    parallel: int = 4  # transfers at once
    max_manifest: int = 4 << 20
    auth_files: tuple[Path, ...] = ()  # docker configuration files or pull secrets, before the user's own
    pull_secrets: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)  # the same as bytes, with a name for errors
    logins: tuple[Login, ...] = ()
    helper_timeout: float = 30.0  # of a credential helper
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        plain_http: tuple[str, ...] = (),
        ca_file: Path | None = None,
        auth_files: tuple[Path, ...] = (),
    ) -> Self:
        """The environment's settings, with those of flags over them."""
        env = os.environ if environ is None else environ
        ca = ca_file or (Path(env[CA]) if env.get(CA) else None)
        if ca and not ca.is_file():
            raise UsageError(f"{ca}, named by --registry-ca or {CA}, is not a file")
        listed = tuple(Path(part) for part in env.get(AUTH_FILES, "").split(os.pathsep) if part)
        files = tuple(_auth_file(path) for path in (*auth_files, *listed))
        hosts = (*plain_http, *(part.strip() for part in env.get(PLAIN_HTTP, "").split(",") if part.strip()))
        for host in hosts:
            if "/" in host:
                raise UsageError(f"{host!r}, in --plain-http or {PLAIN_HTTP}: write a host with an optional port, without http://")
        return cls(
            plain_http=hosts,
            ca_file=ca,
            read_timeout=_seconds(env),
            auth_files=files,
            logins=_logins(env),
            environ=env,
        )

    def allows(self, parts: SplitResult, registry: str) -> bool:
        """Whether an address that `registry` gave is asked: over TLS, or over plain HTTP from one plain host to another. A registry of the
        network has no business with this machine's own ports, and `127.0.0.1:x@host` is that host."""
        plain = parts.scheme == "http" and self.is_plain(registry) and self.is_plain(parts.netloc)
        return "@" not in parts.netloc and (parts.scheme == "https" or plain)

    def is_plain(self, registry: str) -> bool:
        """Whether this registry is spoken to over plain HTTP."""
        return registry in self.plain_http or _host(registry) in self.plain_http or is_loopback(registry)


def _auth_file(path: Path) -> Path:
    """A file of logins, or the one in the folder where a pod has its pull secret."""
    for found in (path, *(path / name for name in _SECRET_FILES)):
        if found.is_file():
            return found
    raise UsageError(f"{path}, named by --registry-auth or {AUTH_FILES}, is neither a file nor a folder with {' or '.join(_SECRET_FILES)}")


def _logins(env: Mapping[str, str]) -> tuple[Login, ...]:
    given = [name for name in (HOST, USER, PASSWORD) if env.get(name)]
    if not given:
        return ()
    missing = [name for name in (HOST, USER, PASSWORD) if name not in given]
    if missing:
        raise UsageError(
            f"{' and '.join(given)} is set, but not {' and '.join(missing)}; a password is sent to one registry, which {HOST} names"
        )
    return (Login(env[HOST], env[USER], env[PASSWORD], f"{USER} and {PASSWORD}"),)


def _seconds(env: Mapping[str, str]) -> float:
    text = env.get(TIMEOUT, "60")
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value <= 3600:
        raise UsageError(f"{TIMEOUT}={text!r} is not a number of seconds from 1 to 3600")
    return value


def is_loopback(registry: str) -> bool:
    """localhost, 127.0.0.0/8 and [::1], with any port."""
    host = _host(registry)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(registry: str) -> str:
    if registry.startswith("["):
        return registry[1:].partition("]")[0]
    return registry.partition(":")[0]
