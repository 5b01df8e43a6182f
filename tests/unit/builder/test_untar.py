"""What a layer's tar may put where: inside its folder, and nothing else."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from builder import untar
from builder.errors import LayerUnsafe

Member = tuple[str, bytes | None, dict[str, object]]


def tar(*members: Member) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data, fields in members:
            info = tarfile.TarInfo(name)
            for key, value in fields.items():
                setattr(info, key, value)
            info.size = len(data or b"")
            archive.addfile(info, io.BytesIO(data) if data is not None else None)
    out.seek(0)
    return out


def unpack(archive: io.BytesIO, target: Path) -> None:
    with tarfile.open(fileobj=archive, mode="r|") as stream:
        for member in stream:
            untar.place(stream, member, target)


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return (name, None, {"type": kind, "linkname": to})


def test_files_folders_and_inner_links_are_unpacked_with_plain_modes(tmp_path: Path) -> None:
    target = tmp_path / "layer"
    target.mkdir()
    unpack(
        tar(
            (".", None, {"type": tarfile.DIRTYPE}),
            ("a/b", None, {"type": tarfile.DIRTYPE}),
            ("a/b/run", b"#!/bin/sh\n", {"mode": 0o6755}),
            ("a/data", b"x", {"mode": 0o600}),
            link("a/near", "b/run"),
            link("a/same", "a/data", tarfile.LNKTYPE),
        ),
        target,
    )
    assert (target / "a/b/run").stat().st_mode & 0o7777 == 0o755
    assert (target / "a/data").stat().st_mode & 0o7777 == 0o644
    assert (target / "a/near").read_bytes() == b"#!/bin/sh\n"
    assert (target / "a/same").samefile(target / "a/data")


HOSTILE: list[tuple[str, list[Member]]] = [
    ("hard link to a link further down", [("x/y/z", b"", {}), link("x/y/l", "../.."), link("out", "x/y/l", tarfile.LNKTYPE)]),
    ("dots", [("../evil", b"x", {})]),
    ("dots-inside", [("a/../../evil", b"x", {})]),
    ("absolute", [("/evil", b"x", {})]),
    ("absolute-link", [link("l", "/etc")]),
    ("link-out", [link("l", "..")]),
    ("link-out-by-a-link", [("a/b", None, {"type": tarfile.DIRTYPE}), link("a/b/up", "../.."), link("l", "a/b/up/..")]),
    ("hard-link-out", [link("l", "../outside", tarfile.LNKTYPE)]),
    ("device", [("null", None, {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3})]),
    ("pipe", [("pipe", None, {"type": tarfile.FIFOTYPE})]),
    ("its-own-folder", [(".", b"x", {})]),
]


@pytest.mark.parametrize("members", [pytest.param(members, id=id_) for id_, members in HOSTILE])
def test_what_leads_outside_is_refused_and_writes_nothing_there(tmp_path: Path, members: list[Member]) -> None:
    target = tmp_path / "layer"
    target.mkdir()
    (tmp_path / "outside").write_text("mine")
    with pytest.raises(LayerUnsafe):
        unpack(tar(*members), target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["layer", "outside"]
    assert (tmp_path / "outside").read_text() == "mine"


def test_a_file_that_takes_a_links_name_replaces_the_link(tmp_path: Path) -> None:
    target = tmp_path / "layer"
    target.mkdir()
    unpack(tar(("real", b"1", {}), link("l", "real"), ("l", b"2", {})), target)
    assert (target / "real").read_bytes() == b"1"
    assert (target / "l").read_bytes() == b"2"


def test_it_does_not_lean_on_what_newer_pythons_have(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Debian 12's 3.11.2 has no extraction filters."""
    missing: Callable[..., None] = lambda *_, **__: pytest.fail("TarFile.extract must not be used")  # noqa: E731
    monkeypatch.setattr(tarfile.TarFile, "extract", missing)
    target = tmp_path / "layer"
    target.mkdir()
    unpack(tar(("a", b"1", {})), target)
    assert (target / "a").read_bytes() == b"1"
