"""Why something could not be reached from a build: its name, its port, or what lies between; and what to do on a platform about what a
message tells somebody with a machine to do. Asked once a build has failed for it."""

import os
import re
import socket
from urllib.parse import urlsplit

import anyio

from builder.errors import (
    ArchiveRefused,
    BuildError,
    GitRefused,
    IndexRefused,
    IndexUntrusted,
    MirrorUnknown,
    RegistryRefused,
    RegistryUntrusted,
    ToolMissing,
)

SECONDS = 4.0  # for a name and for a connection
_URL = re.compile(r"https?://[^\s`'\")>]+")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def place(text: str, registry: str) -> tuple[str, int] | None:
    """Host and port that a message is about: those of the address in it, else those of the registry if it is named there. Pure."""
    if found := _URL.search(text):
        try:
            parts = urlsplit(found[0])
            return (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)) if parts.hostname else None
        except ValueError:
            return None
    if registry and registry in text:
        host, _, port = registry.rpartition(":") if re.search(r":\d+$", registry) else (registry, "", "443")
        return host.strip("[]"), int(port)
    return None


def advice(error: BuildError) -> str:
    """What somebody does about it who builds on the platform, where flags and files of a machine are out of reach. Pure."""
    match error:
        case RegistryUntrusted() | IndexUntrusted() | ArchiveRefused() if "certificate" in str(error):
            return "For a build on the platform: put your authority into ca.crt of the --index-secret, or into builds.ca of kfn's chart."
        case IndexRefused():
            return "For a build on the platform: put url, username and password of the index into a Secret and name it with --index-secret."
        case RegistryRefused():
            return "For a build on the platform: name a kubernetes.io/dockerconfigjson Secret by --push-secret, of a base by --pull-secret."
        case MirrorUnknown():
            return "For a build on the platform: builds.env of kfn's chart has such variables. A --base from a registry needs no mirror."
        case GitRefused():
            return "For a build on the platform: put username and password into a Secret and name it with --git-secret."
        case ToolMissing() if error.detail.startswith("git "):
            return (
                "The image that builds run in has no git; kfn-builder has none. Clone the repository and give the folder: "
                "`git clone URL && kfn build --remote FOLDER`. Or set builds.image of kfn's chart to an image that has git."
            )
    return ""


async def why(text: str, registry: str) -> str:
    """A sentence to add to a message, or nothing where a connection can be made by now, or a proxy stands between."""
    where = place(text, registry)
    if where is None or any(os.environ.get(name) for name in _PROXIES):
        return ""
    host, port = where
    try:
        with anyio.fail_after(SECONDS):
            found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (TimeoutError, OSError):
        return f"The DNS that this build asks does not know {host}."
    address = str(found[0][4][0])
    shown = f"{host}:{port}" if address == host else f"{host}:{port} ({address})"
    try:
        with anyio.fail_after(SECONDS):
            await (await anyio.connect_tcp(address, port)).aclose()
    except TimeoutError:
        return (
            f"Nothing answers this build at {shown}: a firewall, or a NetworkPolicy. The chart lets builds out to the addresses and ports "
            "of builds.egress (443 and 22 by default), and to registries of the cluster."
        )
    except OSError as error:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        return f"A connection from this build to {shown} fails: {os.strerror(cause.errno) if cause.errno else cause}."
    return ""
