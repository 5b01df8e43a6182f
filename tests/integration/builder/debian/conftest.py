"""A signed archive of three suites on loopback, made anew for each test; keys are made once."""

import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.debian.app import Debian
from builder.debian.model import Selection, Wanted
from builder.debian.sources import Mirrors
from tests.fakes.debian_archive import Archive, Gpg, Server, gpg_home, missing, serving

SUITES = ("trixie", "trixie-updates", "trixie-security")


def _home(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"kfn-gpg-{name}-{secrets.token_hex(3)}"  # short: it holds a socket


@pytest.fixture(scope="session")
def gpg() -> Iterator[Gpg]:
    if reason := missing():
        pytest.skip(reason)
    with gpg_home(_home("a")) as made:
        yield made


@pytest.fixture(scope="session")
def stranger() -> Iterator[Gpg]:
    """Somebody else's key."""
    with gpg_home(_home("s")) as made:
        yield made


@dataclass
class Shop:
    """An archive, its server, and a cache."""

    archive: Archive
    server: Server
    cache: Path
    keyring: Path

    def debian(self, *, offline: bool = False, **changed: object) -> Debian:
        given: dict[str, object] = {
            "archive": (f"{self.server.address}/archive",),
            "security": (f"{self.server.address}/security",),
            "keyrings": (self.keyring,),
        }
        return Debian(self.cache, Mirrors(**{**given, **changed}), offline=offline)  # type: ignore[arg-type]

    async def select(self, *packages: str, **changed: object) -> Selection:
        async with self.debian(**changed) as debian:  # type: ignore[arg-type]
            return await debian.select(Wanted("trixie", "amd64", packages))


@pytest.fixture
def shop(tmp_path: Path, gpg: Gpg) -> Iterator[Shop]:
    archive = Archive(tmp_path / "mirror", gpg)
    archive.add("trixie", "hello", depends="libhello (>= 1.0)")
    archive.add("trixie", "libhello", depends="debconf")
    archive.publish(*SUITES)
    with serving(archive.root) as server:
        yield Shop(archive, server, tmp_path / "cache", gpg.keyring(tmp_path / "keys.gpg"))
