"""What this machine's environment says of the world outside, for builds in pods: the package index, whom to trust, a Debian mirror.

A build's pod knows nothing of this machine: what pip, uv, OpenSSL and apt are told here goes on by a Secret and by values of the chart, as
somebody with a private index behind a private authority would do it. No address is written anywhere.
"""

import ipaddress
import os
import re
import socket
import ssl
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from builder.debian import sources
from builder.errors import MirrorUnknown
from builder.python import index, uv

ASKED = "idna"  # small, pure Python, one wheel
SECONDS = 60.0


@dataclass(frozen=True)
class Outside:
    """`url` is empty where uv's own default is meant, `address` never. `authorities`: certificates that clients here trust."""

    address: str
    url: str
    login: tuple[str, str] = field(repr=False)
    authorities: str = field(repr=False)
    variables: dict[str, str] = field(repr=False)  # for builds.env

    @property
    def secret(self) -> dict[str, str]:
        """The keys of an index Secret."""
        keys = {"url": self.url, "username": self.login[0], "password": self.login[1], "ca.crt": self.authorities}
        return {key: value for key, value in keys.items() if value}

    @property
    def ports(self) -> list[int]:
        """Those of the index and of the mirror."""
        return sorted({_where(one)[1] for one in (self.address, *self.variables.values()) if "://" in one})

    @property
    def port(self) -> int:
        return _where(self.address)[1]

    def authority(self) -> str:
        """The one certificate of `authorities` that has signed what the index shows; empty where there is none to be given."""
        host, port = _where(self.address)
        if not self.authorities or not self.address.startswith("https:"):
            return ""
        context = ssl.create_default_context(cadata=self.authorities)
        with socket.create_connection((host, port), timeout=10) as plain, context.wrap_socket(plain, server_hostname=host) as secured:
            issuer = (secured.getpeercert() or {})["issuer"]
        for known, der in zip(context.get_ca_certs(), context.get_ca_certs(binary_form=True), strict=True):
            if isinstance(known, dict) and known["subject"] == issuer:
                return ssl.DER_cert_to_PEM_cert(der)
        return ""


def find(environ: dict[str, str]) -> tuple[Outside | None, str]:
    """What the environment names, or what is missing. `environ` is that of before a test, which has an empty home."""
    told = _told(environ)
    if told.get("UV_NO_INDEX"):
        return None, "the environment names no package index: UV_NO_INDEX or pip's no-index is set"
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "requirements.txt"
        asked.write_text(ASKED)
        looked = [uv.binary(), "pip", "compile", "--quiet", "--no-cache", "--emit-index-annotation", str(asked)]
        found = {key: value for key, value in told.items() if key != "UV_FIND_LINKS"}
        ran = subprocess.run(looked, env=found, capture_output=True, text=True, timeout=SECONDS, check=False)
    if ran.returncode:
        return (
            None,
            f"the environment names no package index that has {ASKED} (UV_DEFAULT_INDEX, PIP_INDEX_URL): {ran.stderr.strip()[-500:]}",
        )
    (address,) = re.findall(r"# from (https?://\S+)", ran.stdout)[:1] or [""]
    if not address or ipaddress.ip_address(socket.gethostbyname(_where(address)[0])).is_loopback:
        return None, "the environment's package index is on this machine's loopback or in a folder, which no pod reaches"
    try:
        mirrors = sources.find(environ)
    except MirrorUnknown as unknown:
        return None, f"the environment names no Debian mirror for bases: {unknown}"
    variables = {sources.MIRROR: mirrors.archive[0], sources.SECURITY_MIRROR: mirrors.security[0] if mirrors.security else sources.NONE}
    file = told.get("SSL_CERT_FILE", "")
    url = urlsplit(told.get("UV_DEFAULT_INDEX") or told.get("UV_INDEX_URL") or "")
    login = (unquote(url.username or ""), unquote(url.password or ""))
    bare = url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()
    return Outside(address, bare, login, Path(file).read_text() if file else "", variables), ""


def _where(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _told(environ: dict[str, str]) -> dict[str, str]:
    """uv's environment as it would be with `environ`."""
    before = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(environ)
        return index.environment({})
    finally:
        os.environ.clear()
        os.environ.update(before)
