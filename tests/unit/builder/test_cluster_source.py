"""A source artifact is the same for the same files, and nothing that somebody else made gets out of its folder or fills the disk."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from builder.cache import Cache
from builder.cluster import source_artifact
from builder.cluster.extract import Limits, SourceUnsafe, extract
from builder.options import BuildOptions


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tarred(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=kind, linkname=target)


def pax(**headers: str) -> bytes:
    info, data = member("a.py", b"x")
    info.pax_headers = {key.replace("__", "."): value for key, value in headers.items()}
    return tarred((info, data))


def resummed(tar: bytes, at: int, value: bytes) -> bytes:
    """The first header with other bytes and a right checksum."""
    block = bytearray(tar[:512])
    block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + tar[512:]


FILE = member("func.py", b"def handle(r): ...\n")
PLAIN = tarred(FILE)
HOSTILE = {
    "a path upwards": tarred(member("../evil", b"x")),
    "a path upwards in the middle": tarred(member("a/../../evil", b"x")),
    "an absolute path": tarred(member("/tmp/evil", b"x")),
    "a dot": tarred(member("./a", b"x")),
    "an empty name": resummed(tarred(member("a", b"x")), 0, b"\0"),
    "an empty part": tarred(member("a//b", b"x")),
    "a link upwards": tarred(link("a", "../../etc/passwd")),
    "an absolute link": tarred(link("a", "/etc/passwd")),
    "an empty link": tarred(link("a", "")),
    "a file through a link": tarred(link("a", "b"), member("a/evil", b"x")),
    "a file through a link to its own folder": tarred(member("d", type=tarfile.DIRTYPE), link("d/a", "."), member("d/a/evil", b"x")),
    "a file in a file": tarred(member("a", b"x"), member("a/b", b"x")),
    "a link in the place of a file": tarred(member("a", b"x"), link("a", "b")),
    "the same name twice": tarred(member("a", b"x"), member("a", b"y")),
    "a folder over a link": tarred(link("a", "b"), member("a", type=tarfile.DIRTYPE)),
    "a hard link": tarred(FILE, link("b", "func.py", tarfile.LNKTYPE)),
    "a hard link to the machine's own": tarred(link("b", "/etc/passwd", tarfile.LNKTYPE)),
    "a character device": tarred(member("dev", type=tarfile.CHRTYPE)),
    "a block device": tarred(member("dev", type=tarfile.BLKTYPE)),
    "a named pipe": tarred(member("pipe", type=tarfile.FIFOTYPE)),
    "a GNU long name": tarred(member("a" * 200, b"x"), form=tarfile.GNU_FORMAT),
    "a GNU sparse file": resummed(PLAIN, 156, b"S"),
    "an unknown type": resummed(PLAIN, 156, b"Z"),
    "a PAX size that contradicts the header": pax(size="99999999"),
    "a PAX sparse map": pax(GNU__sparse__major="1", GNU__sparse__minor="0"),
    "PAX attributes": pax(SCHILY__xattr__security__capability="x"),
    "a PAX path upwards": pax(path="../evil"),
    "a PAX header without its record's length": resummed(tarred(member("a" * 120, b"x"))[:512] + b"\0" * 512 + tarred(FILE), 0, b"x"),
    "a control character": tarred(member("a\nb", b"x")),
    "a name that is no UTF-8": resummed(PLAIN, 0, b"\xff\xfe"),
    "too long a name": tarred(member("a" * 256, b"x")),
    "too deep a path": tarred(member("/".join("a" * 70), b"x")),
    "a link with a size": resummed(resummed(PLAIN, 156, b"2"), 157, b"b"),
    "a base-256 size": resummed(PLAIN, 124, b"\x80\0\0\0\0\0\0\0\0\0\0\x13"),
    "a negative size": resummed(PLAIN, 124, b"-0000000001"),
    "a wrong checksum": PLAIN[:100] + b"7" + PLAIN[101:],
    "no tar": b"x" * 2048,
    "the beginning only": PLAIN[:700],
    "no end": PLAIN[:1024],
    "something behind the end": PLAIN + b"x" * 512,
    "something in the padding": PLAIN[:540] + b"x" + PLAIN[541:],
    "nothing": b"",
}


def unpack(packed: bytes, folder: Path, limits: Limits | None = None) -> None:
    folder.mkdir()
    extract(io.BytesIO(packed), folder, limits)


class TestHostileArtifacts:
    @pytest.mark.parametrize("tar", HOSTILE.values(), ids=HOSTILE)
    def test_are_refused_and_leave_nothing_outside(self, tmp_path: Path, tar: bytes) -> None:
        with pytest.raises(SourceUnsafe):
            unpack(gzip.compress(tar), tmp_path / "out")
        assert os.listdir(tmp_path) == ["out"]
        assert not Path("/tmp/evil").exists()

    @pytest.mark.parametrize(
        "packed",
        [
            PLAIN,
            gzip.compress(PLAIN)[:-9],
            gzip.compress(PLAIN)[:40],
            gzip.compress(PLAIN) + b"x",
            gzip.compress(PLAIN) * 2,
            b"",
            b"\x1f\x8b",
        ],
        ids=["not compressed", "cut at its end", "cut in the middle", "something behind", "two members", "nothing", "two bytes"],
    )
    def test_whose_compression_is_odd_are_refused(self, tmp_path: Path, packed: bytes) -> None:
        with pytest.raises(SourceUnsafe):
            unpack(packed, tmp_path / "out")

    def test_that_unpack_to_far_more_than_they_are_stop_early(self, tmp_path: Path) -> None:
        with pytest.raises(SourceUnsafe, match="200 times"):
            unpack(gzip.compress(tarred(member("zeros", b"\0" * (40 << 20)))), tmp_path / "out")
        assert (tmp_path / "out" / "zeros").stat().st_size < 20 << 20

    def test_with_too_many_bytes_or_entries_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SourceUnsafe, match="more than"):
            unpack(gzip.compress(tarred(member("a", os.urandom(2000)))), tmp_path / "one", Limits(bytes=1000))
        with pytest.raises(SourceUnsafe, match="3 entries"):
            unpack(gzip.compress(tarred(*(member(str(i)) for i in range(4)))), tmp_path / "two", Limits(entries=3))

    def test_set_no_special_bits(self, tmp_path: Path) -> None:
        unpack(gzip.compress(tarred(member("a", b"x", mode=0o6777))), tmp_path / "out")
        assert (tmp_path / "out" / "a").stat().st_mode & 0o7000 == 0

    @pytest.mark.parametrize("manifest", [b"", b"{}", b"[]", b'{"artifactType": "x", "layers": [{}]}', b'{"layers": [1, 2]}'])
    def test_that_are_something_else_are_refused(self, manifest: bytes) -> None:
        with pytest.raises(SourceUnsafe):
            source_artifact.layer_of(manifest)


class TestASource:
    def source(self, folder: Path) -> Path:
        files = {
            "func.py": "def handle(r): ...\n", "func.yaml": "name: hello\n", "pkg/data.txt": "ü", ".kfnignore": "!keep.log\n",
            "keep.log": "kept", "skip.log": "left out", "sub/.kfnignore": "x", f"{'long' * 40}/a.py": "1",
        }  # fmt: skip
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (folder / "run.sh").write_text("#!/bin/sh\n")
        (folder / "run.sh").chmod(0o755)
        (folder / "link").symlink_to("pkg/data.txt")
        return folder

    def assembled(self, folder: Path, cache: Path) -> source_artifact.Assembled:
        return source_artifact.assemble(source_artifact.collect(folder, BuildOptions(store=None)), Cache(cache))

    def test_comes_back_as_it_was_with_what_says_how_it_is_built(self, tmp_path: Path) -> None:
        made = self.assembled(self.source(tmp_path / "hello"), tmp_path / "cache")
        packed = made.content.blobs[1].path
        assert packed is not None
        unpack(packed.read_bytes(), tmp_path / "out")
        found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if not p.is_dir())
        assert found == sorted([".kfnignore", "func.py", "func.yaml", "keep.log", "link", f"{'long' * 40}/a.py", "pkg/data.txt", "run.sh"])
        assert os.readlink(tmp_path / "out" / "link") == "pkg/data.txt"
        assert os.access(tmp_path / "out" / "run.sh", os.X_OK)

    def test_is_the_same_artifact_from_another_folder_and_from_what_was_unpacked(self, tmp_path: Path) -> None:
        one = self.assembled(self.source(tmp_path / "one"), tmp_path / "c1")
        two = self.assembled(self.source(tmp_path / "two"), tmp_path / "c2")
        packed = one.content.blobs[1].path
        assert packed is not None
        unpack(packed.read_bytes(), tmp_path / "out")
        assert one.content.digest == two.content.digest == self.assembled(tmp_path / "out", tmp_path / "c3").content.digest

    def test_is_another_artifact_if_only_func_yaml_changes(self, tmp_path: Path) -> None:
        folder = self.source(tmp_path / "hello")
        before = self.assembled(folder, tmp_path / "cache")
        (folder / "func.yaml").write_text("name: other\n")
        assert self.assembled(folder, tmp_path / "cache").content.digest != before.content.digest

    def test_travels_in_the_build_itself_if_it_is_a_little_text(self, tmp_path: Path) -> None:
        folder = tmp_path / "hello"
        folder.mkdir()
        (folder / "func.py").write_text("def handle(r): ...\n")
        (folder / "func.yaml").write_text("name: x\n")
        collected = source_artifact.collect(folder, BuildOptions(store=None))
        assert source_artifact.inline(collected) == {"func.py": "def handle(r): ...\n", "func.yaml": "name: x\n"}

    @pytest.mark.parametrize("name", ["binary", "program", "large", "link"])
    def test_travels_as_an_artifact_if_it_is_anything_else(self, tmp_path: Path, name: str) -> None:
        folder = tmp_path / "hello"
        folder.mkdir()
        (folder / "func.py").write_text("def handle(r): ...\n")
        if name == "link":
            (folder / name).symlink_to("func.py")
        else:
            (folder / name).write_bytes({"binary": b"\xff\xfe", "program": b"x", "large": b"x" * 70000}[name])
            (folder / name).chmod(0o755 if name == "program" else 0o644)
        assert source_artifact.inline(source_artifact.collect(folder, BuildOptions(store=None))) is None
