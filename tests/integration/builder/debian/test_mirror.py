"""The mirror that this machine is configured with: Debian 13 is chosen from it whatever the machine runs, for any architecture."""

import os
from pathlib import Path

import pytest

from builder.debian import deb, sources
from builder.debian.app import Debian
from builder.debian.model import Wanted
from builder.errors import MirrorUnknown, MirrorUnreachable

NAMES = ("base-files", "ca-certificates", "netbase", "python3.13", "tzdata")


class TestTheMachinesMirror:
    @pytest.mark.parametrize("architecture", ["amd64", "arm64"])
    async def test_python_of_trixie_can_be_had(self, tmp_path: Path, architecture: str) -> None:
        try:
            mirrors = sources.find(os.environ)
            async with Debian(tmp_path, mirrors) as debian:
                selection = await debian.select(Wanted("trixie", architecture, NAMES))
                (fetched,) = await debian.fetch([one for one in selection.packages if one.name == "netbase"])
        except (MirrorUnknown, MirrorUnreachable) as error:
            pytest.skip(f"no Debian mirror here: {error}")
        chosen = {one.name: one for one in selection.packages}
        assert {*NAMES, "libc6", "libssl3t64", "python3.13-minimal"} <= set(chosen) and len(chosen) < 60
        assert not set(chosen) & Wanted("", "", ()).without
        assert chosen["libc6"].architecture == architecture
        with deb.opened(fetched.path) as package:
            assert "etc/protocols" in {entry.path for entry in package.entries()}
