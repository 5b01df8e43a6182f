"""Where the API server is and how to prove who we are: kubeconfig or the pod's service account.

Static credentials (token, certificate, token file) are read here, which keeps a command's start under 100 ms; whatever has to be
*done* to get one (exec plugins, auth providers, OIDC refresh) is left to the `kubernetes` package, loaded only then.
"""

import base64
import math
import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TOKEN_AGE = 30.0  # seconds for which a token from a file is believed to be the newest
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConfigError(Exception):
    """The kubeconfig cannot be used; the message names the file and what is wrong in it."""


async def _no_token() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Config:
    """One API server and one identity. `token` is asked for each request, because tokens rotate."""

    server: str
    ca_pem: str = ""
    insecure: bool = False
    client_cert: tuple[str, str] | None = None
    token: Callable[[], Awaitable[str]] = field(default=_no_token, repr=False)
    namespace: str = "default"
    path: Path | None = None
    """The kubeconfig file, if it came from one."""

    @property
    def is_loopback(self) -> bool:
        return urlsplit(self.server).hostname in ("127.0.0.1", "localhost", "::1")


def load(kubeconfig: str | None = None, context: str | None = None) -> Config:
    """From `kubeconfig`, else `$KUBECONFIG`, else `~/.kube/config`, else the pod's service account. Raises ConfigError."""
    named = kubeconfig or os.environ.get("KUBECONFIG", "")
    paths = [Path(p).expanduser() for p in named.split(os.pathsep) if p] or [Path("~/.kube/config").expanduser()]
    existing = [p for p in paths if p.is_file()]
    if existing:
        return _from_files(existing, context)
    if named:
        raise ConfigError(f"kubeconfig {named}: no such file. Is the platform running (`kfn up`)?")
    if (SERVICE_ACCOUNT / "token").is_file() and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster()
    raise ConfigError("no platform found: start one with `kfn up`, or point KUBECONFIG at a cluster")


def in_cluster() -> Config:
    """The service account that Kubernetes mounts into a pod; the token is read again each minute's use, since it rotates."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    host = f"[{host}]" if ":" in host else host
    return Config(
        server=f"https://{host}:{port}",
        ca_pem=(SERVICE_ACCOUNT / "ca.crt").read_text(),
        token=_from_file(SERVICE_ACCOUNT / "token"),
        namespace=(SERVICE_ACCOUNT / "namespace").read_text().strip() or "default",
    )


def _from_files(paths: list[Path], context: str | None) -> Config:
    docs = [(path, _read(path)) for path in paths]
    current = context or next((str(d["current-context"]) for _, d in docs if d.get("current-context")), "")
    path, chosen = _named(docs, "contexts", current, "context")
    cluster_path, cluster = _named(docs, "clusters", str(chosen.get("cluster") or ""), "cluster")
    server = str(cluster.get("server") or "").rstrip("/")
    if not server:
        raise ConfigError(f"{cluster_path}: cluster {chosen.get('cluster')!r} has no server")
    user_path, user = _named(docs, "users", str(chosen["user"]), "user") if chosen.get("user") else (path, {})
    return Config(
        server=server,
        ca_pem=_inline(cluster_path, cluster, "certificate-authority"),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        client_cert=_client_cert(user_path, user),
        token=_token(user_path, user, current, paths),
        namespace=str(chosen.get("namespace") or "default"),
        path=path,
    )


def _read(path: Path) -> dict[str, Any]:
    import yaml  # not above: every command imports this module for its errors

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        doc = yaml.load(path.read_text(), Loader=loader)  # noqa: S506 - both are safe loaders
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not isinstance(doc, dict):
        raise ConfigError(f"{path}: not a kubeconfig")
    return doc


def _named(docs: list[tuple[Path, dict[str, Any]]], section: str, name: str, what: str) -> tuple[Path, dict[str, Any]]:
    for path, doc in docs:
        for entry in doc.get(section) or []:
            if entry.get("name") == name:
                return path, entry.get(what) or {}
    known = sorted(str(e.get("name")) for _, d in docs for e in d.get(section) or [])
    raise ConfigError(f"{docs[0][0]}: no {what} named {name!r}; there are: {', '.join(known) or 'none'}")


def _inline(path: Path, entry: dict[str, Any], key: str) -> str:
    if entry.get(f"{key}-data"):
        return base64.b64decode(entry[f"{key}-data"]).decode()
    if entry.get(key):
        try:
            return (path.parent / str(entry[key])).read_text()
        except OSError as error:
            raise ConfigError(f"{path}: {key}: {error}") from error
    return ""


def _client_cert(path: Path, user: dict[str, Any]) -> tuple[str, str] | None:
    cert, key = _inline(path, user, "client-certificate"), _inline(path, user, "client-key")
    if not cert or not key:
        return None
    # ssl reads certificates from files only; this one is private to us and gone with the process.
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
        file.write(cert + "\n" + key)
    _remove_at_exit(file.name)
    return file.name, file.name


def _remove_at_exit(name: str) -> None:
    import atexit

    atexit.register(lambda: Path(name).unlink(missing_ok=True))


def _token(path: Path, user: dict[str, Any], context: str, paths: list[Path]) -> Callable[[], Awaitable[str]]:
    if user.get("token"):
        return _static(str(user["token"]))
    if user.get("tokenFile"):
        return _from_file(path.parent / str(user["tokenFile"]), 0.0)
    if user.get("exec") or user.get("auth-provider"):
        return _by_plugin(context, paths)
    return _no_token


def _static(token: str) -> Callable[[], Awaitable[str]]:
    async def get() -> str:
        return token

    return get


def _from_file(path: Path, age: float = TOKEN_AGE) -> Callable[[], Awaitable[str]]:
    """Read again after `age` seconds. Kubernetes replaces a pod's token at four fifths of its life, which is 10 minutes at the least."""
    read_at, token = -math.inf, ""

    async def get() -> str:
        nonlocal read_at, token
        import anyio  # not above: as in _read

        now = anyio.current_time()
        if now - read_at >= age:
            try:
                token, read_at = path.read_text().strip(), now  # noqa: ASYNC240 - a small file in memory-backed storage
            except OSError as error:
                if not token:
                    raise ConfigError(f"{path}: {error.strerror or error}") from error
        return token

    return get


def _by_plugin(context: str, paths: list[Path]) -> Callable[[], Awaitable[str]]:
    """Ask the `kubernetes` package, which runs exec plugins and refreshes their tokens when they expire."""
    state: dict[str, Any] = {}

    async def get() -> str:
        import anyio.to_thread
        from kubernetes import client, config

        joined = os.pathsep.join(map(str, paths))

        def ask() -> str:
            if not state:
                state["configuration"] = client.Configuration()
                config.load_kube_config(joined, context=context or None, client_configuration=state["configuration"])
            value = str(state["configuration"].get_api_key_with_prefix("BearerToken", "authorization") or "")
            if not value:
                raise ConfigError(
                    f"{joined}: the credential plugin of context {context!r} gave no token; run its command by hand to see why"
                )
            return value.removeprefix("Bearer ").strip()

        return await anyio.to_thread.run_sync(ask)

    return get
