"""Layers of a foreign image as a folder: nothing leads out of it, links work in it, whiteouts are obeyed."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from builder.base.tree import Tree, unpack
from builder.errors import LayerUnsafe

Member = tuple[str, bytes | None, dict[str, object]]


def layer(*members: Member) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data, fields in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            for field, value in fields.items():
                setattr(info, field, value)
            info.size = len(data or b"")
            tar.addfile(info, io.BytesIO(data) if data is not None else None)
    made.seek(0)
    return made


def folder(name: str, mode: int = 0o755) -> Member:
    return (name, None, {"type": tarfile.DIRTYPE, "mode": mode})


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return (name, None, {"type": kind, "linkname": target})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").write_text("mine")
    made = tmp_path / "root"
    made.mkdir()
    return made


class TestLinks:
    def test_an_absolute_link_means_the_images_own_root(self, root: Path) -> None:
        tree = unpack([layer(("etc/real", b"1", {}), link("usr/lib/l", "/etc/real"))], root)
        assert (root / "usr/lib/l").read_bytes() == b"1"
        assert tree.find("/usr/lib/l") == root / "etc/real"

    def test_one_that_climbs_too_far_stops_at_the_root_as_in_a_container(self, root: Path) -> None:
        unpack([layer(("outside", b"the image's", {}), link("a/l", "../../../../outside"))], root)
        assert (root / "a/l").read_bytes() == b"the image's"

    def test_a_file_below_a_link_to_a_folder_lands_in_that_folder(self, root: Path) -> None:
        unpack([layer(folder("usr/lib"), link("lib", "usr/lib"), ("lib/x.so", b"x", {}))], root)
        assert (root / "usr/lib/x.so").read_bytes() == b"x"

    @pytest.mark.parametrize(
        "members",
        [
            pytest.param([link("l", "/"), ("l/../../outside", b"x", {})], id="dots"),
            pytest.param([link("l", ".."), link("m", "l/.."), ("m/outside", b"x", {})], id="links-of-links"),
            pytest.param([link("d", "/a/b"), link("a/b/up", "../../.."), ("d/up/outside", b"x", {})], id="link-made-in-a-linked-folder"),
            pytest.param([link("h", "../outside", tarfile.LNKTYPE)], id="hard-link-out"),
            pytest.param([link("a/b/l", "/outside"), link("h", "a/b/l", tarfile.LNKTYPE)], id="hard-link-to-a-link-further-down"),
            pytest.param([("../outside", b"x", {})], id="name"),
        ],
    )
    def test_nothing_outside_is_ever_touched(self, root: Path, members: list[Member]) -> None:
        try:
            unpack([layer(*members)], root)
        except LayerUnsafe:
            pass
        assert (root.parent / "outside").read_text() == "mine"
        assert sorted(path.name for path in root.parent.iterdir()) == ["outside", "root"]
        for path in root.rglob("*"):
            assert Path(os.path.realpath(path)).is_relative_to(root), f"{path} leads out"

    def test_a_hard_link_shares_its_file_and_one_to_nothing_is_refused(self, root: Path) -> None:
        unpack([layer(("a", b"1", {}), link("b", "a", tarfile.LNKTYPE))], root)
        assert (root / "b").read_bytes() == b"1"
        with pytest.raises(LayerUnsafe, match="not there"):
            Tree(root).add(layer(link("c", "missing", tarfile.LNKTYPE)))


class TestLayersOverEachOther:
    def test_a_whiteout_removes_what_a_lower_layer_has(self, root: Path) -> None:
        unpack([layer(("d/a", b"1", {}), ("d/b", b"2", {})), layer(("d/.wh.a", b"", {}))], root)
        assert sorted(path.name for path in (root / "d").iterdir()) == ["b"]

    def test_an_opaque_folder_loses_the_lower_layers_files_but_not_its_own(self, root: Path) -> None:
        unpack([layer(("d/old", b"1", {})), layer(("d/new", b"2", {}), ("d/.wh..wh..opq", b"", {}))], root)
        assert sorted(path.name for path in (root / "d").iterdir()) == ["new"]

    def test_a_folder_takes_the_place_of_a_file_and_a_file_that_of_a_folder(self, root: Path) -> None:
        unpack([layer(("a", b"1", {}), ("b/c", b"2", {})), layer(("a/x", b"3", {}), ("b", b"4", {}))], root)
        assert ((root / "a/x").read_bytes(), (root / "b").read_bytes()) == (b"3", b"4")

    def test_devices_and_special_bits_are_left_out(self, root: Path) -> None:
        device: Member = ("dev/null", None, {"type": tarfile.CHRTYPE})
        unpack([layer(("su", b"x", {"mode": 0o4755}), device)], root)
        assert (root / "su").stat().st_mode & 0o7777 == 0o755
        assert not (root / "dev/null").exists()

    def test_what_only_its_owner_may_go_through_is_known(self, root: Path) -> None:
        tree = unpack([layer(folder("root", 0o700), ("root/python3", b"x", {}), ("usr/python3", b"x", {}))], root)
        assert tree.closed_to_others(root / "root/python3") == "/root"
        assert tree.closed_to_others(root / "usr/python3") == ""

    def test_a_hard_link_to_a_link_leads_where_that_leads(self, root: Path) -> None:
        unpack([layer(("a/x", b"1", {}), link("a/b/l", "/a/x"), link("c/d/e/h", "a/b/l", tarfile.LNKTYPE))], root)
        assert (root / "c/d/e/h").read_bytes() == b"1"

    @pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
    def test_a_header_that_would_fill_the_memory_is_refused_before_it_is_read(self, root: Path, kind: bytes) -> None:
        head = tarfile.TarInfo("x")
        head.type, head.size = kind, 20_000_000_000
        with pytest.raises(LayerUnsafe, match="a header in it has 20000000000 bytes"):
            unpack([io.BytesIO(head.tobuf(tarfile.GNU_FORMAT))], root)

    def test_a_layer_whose_compression_is_cut_off_is_refused(self, root: Path) -> None:
        packed = gzip.compress(layer(("a", os.urandom(50_000), {})).getvalue())
        with pytest.raises(LayerUnsafe, match="no tar"):
            unpack([gzip.GzipFile(fileobj=io.BytesIO(packed[:20_000]))], root)  # type: ignore[list-item]

    def test_what_is_no_tar_is_refused(self, root: Path) -> None:
        with pytest.raises(LayerUnsafe, match="no tar"):
            unpack([io.BytesIO(b"x" * 2000)], root)
