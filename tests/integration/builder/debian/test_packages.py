"""Reading packages: what dpkg-deb makes as dpkg-deb reads it, and what nobody honest makes refused. Versions as dpkg compares them."""

import gzip
import io
import lzma
import random
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from builder.debian import deb
from builder.debian.version import compare
from builder.errors import BadPackage
from tests.fakes import debian_archive as fake
from tests.fakes.debian_archive import member, missing

pytestmark = pytest.mark.skipif(bool(missing("dpkg-deb", "dpkg")), reason=missing("dpkg-deb", "dpkg") or "dpkg is there")
LINK, HARD, FOLDER, CHARACTER, BLOCK, PIPE = b"2", b"1", b"5", b"3", b"4", b"6"
LONG = "usr/share/" + "/".join(["long" * 20] * 4)


def read(path: Path) -> dict[str, tuple[str, int, str, bytes]]:
    with deb.opened(path) as one:
        return {
            entry.path: (entry.kind, entry.mode if entry.kind != "link" else 0, entry.link, entry.open().read()) for entry in one.entries()
        }


def dpkg_reads(path: Path) -> dict[str, tuple[str, int, str, bytes]]:
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(path)], capture_output=True, check=True, timeout=60).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            if name := info.name.removeprefix("./").strip("./"):
                kind = "folder" if info.isdir() else "link" if info.issym() else "file"
                content = tar.extractfile(info) if kind == "file" else None
                link = info.linkname if kind == "link" else ""
                found[name] = (kind, info.mode if kind != "link" else 0, link, content.read() if content else b"")
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package's tree with all that an honest one has."""
    root = tmp_path / "tree"
    for path, text in {
        "usr/bin/tool": "#!/bin/sh\n",
        f"{LONG}/file": "x" * 200_000,
        "usr/share/Főtanúsítvány.crt": "ü",
        "empty": "",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "usr/bin/tool").chmod(0o4755)
    (root / "usr/bin/hard").hardlink_to(root / "usr/bin/tool")
    (root / "usr/lib").mkdir()
    (root / "usr/lib/relative").symlink_to("../bin/tool")
    (root / "usr/lib/absolute").symlink_to("/etc/alternatives/x")
    (root / "usr/lib/far").symlink_to("../../" + LONG + "/" + "n" * 90)
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text("Package: tool\nVersion: 1:1.0-1\nArchitecture: all\nMaintainer: T <t@e>\nDescription: ü\n more\n")
    (root / "DEBIAN/md5sums").write_text("0  usr/bin/tool\n")
    return root


class TestSoundPackages:
    @pytest.mark.parametrize("method", ["xz", "gzip", "none", "zstd"])
    def test_it_has_what_dpkg_says_it_has(self, tree: Path, tmp_path: Path, method: str) -> None:
        if method == "zstd":
            pytest.importorskip("zstandard", reason="zstandard not installed")
        path = tmp_path / "tool.deb"
        command = ["dpkg-deb", f"-Z{method}", "--root-owner-group", "--build", str(tree), str(path)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        assert read(path) == dpkg_reads(path)
        with deb.opened(path) as one:
            assert (one.control["Version"], one.md5sums) == ("1:1.0-1", "0  usr/bin/tool\n")
            hard = [(entry.path, entry.hard, entry.mode) for entry in one.entries() if entry.hard]
            assert hard in ([("usr/bin/tool", "usr/bin/hard", 0o4755)], [("usr/bin/hard", "usr/bin/tool", 0o4755)])

    def test_contents_can_be_read_in_any_order_and_more_than_once(self, tmp_path: Path) -> None:
        path = tmp_path / "x.deb"
        path.write_bytes(fake.deb((member("./a"), b"one"), (member("./b"), b"two" * 99_999)))
        with deb.opened(path, scratch=tmp_path) as one:
            first, second = one.entries()
            half = second.open()
            assert (half.read(3), first.open().read(), half.read(3), second.open().read()[-3:]) == (b"two", b"one", b"two", b"two")
        assert list(tmp_path.iterdir()) == [path], "the unpacked data has no name"


def sparse() -> bytes:
    """A header that promises 10 GB in a sparse file."""
    info = member("./big", b"S")
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\x80" + (10_000_000_000).to_bytes(11)
    block[148:156] = b"        "
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return lzma.compress(bytes(block) + bytes(1024))


def paxed() -> bytes:
    info = member("./x")
    info.pax_headers = {"path": "../../etc/passwd"}
    return lzma.compress(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024))


class TestHostilePackages:
    @pytest.mark.parametrize(
        ("members", "says"),
        [
            ([member("./../etc/passwd")], "could lead out"),
            ([member("/etc/passwd")], "could lead out"),
            ([member("./a//b")], "could lead out"),
            ([member("./a/./b")], "could lead out"),
            ([member("./" + "n" * 256)], "longer than Linux takes"),
            ([member("./a\nb")], "cannot be printed"),
            ([member("./dev/sda", BLOCK)], "a block device"),
            ([member("./dev/null", CHARACTER)], "a character device"),
            ([member("./pipe", PIPE)], "a named pipe"),
            ([member("./a", LINK, "../../etc")], "above the root"),
            ([member("./a/b/c", LINK, "../../../etc")], "above the root"),
            ([member("./a", LINK, "")], "leads to ''"),
            ([member("./a", LINK, "/etc"), member("./a/passwd")], "is below 'a', which is no folder"),
            ([member("./a"), member("./a/passwd")], "is below 'a', which is no folder"),
            ([member("./a"), member("./a")], "twice"),
            ([member("./a", FOLDER), member("./a", LINK, "b")], "twice"),
            ([member("./a", HARD, "./b")], "a hard link to './b', which is no file before it"),
            ([member("./a", HARD, "/etc/passwd")], "could lead out"),
            ([member("./b", LINK, "/etc/shadow"), member("./a", HARD, "./b")], "no file before it"),
            ([member("./a", FOLDER), member("./b", HARD, "./a")], "no file before it"),
        ],
        ids=lambda value: None if isinstance(value, str) else " ".join(one.name[:20].strip("./") or "x" for one in value),
    )
    def test_a_path_or_link_that_leads_elsewhere_is_refused(self, tmp_path: Path, members: list[tarfile.TarInfo], says: str) -> None:
        path = tmp_path / "evil_1.0_amd64.deb"
        path.write_bytes(fake.deb(*members))
        with pytest.raises(BadPackage, match=f"evil_1.0_amd64.deb: .*{says}") as told:
            read(path)
        assert told.value.exit_code == 5

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (sparse(), "a sparse file|is cut off"),
            (paxed(), "a PAX header"),
            (lzma.compress(b"\0" * 100_000_000, preset=1), "more than 200 times as many"),
            (lzma.compress(fake._tar((member("./x"), b"y" * 5000)))[:-40], "cut off|damaged"),
            (lzma.compress(fake._tar((member("./x"), b"y" * 5000))[:2048]), "cut off"),
            (lzma.compress(fake._tar(member("./x"))[:512]), "the end mark is missing"),
            (lzma.compress(b"x" * 1024), "damaged|no number|none"),
            (b"no archive at all", "xz data is damaged"),
        ],
        ids=["sparse", "PAX", "bomb", "xz cut off", "tar cut off", "no end", "no tar", "no xz"],
    )
    def test_data_that_is_damaged_or_a_bomb_is_refused(self, tmp_path: Path, data: bytes, says: str) -> None:
        path = tmp_path / "x.deb"
        path.write_bytes(fake.deb(data=data))
        with pytest.raises(BadPackage, match=says):
            read(path)

    def test_more_than_the_limit_is_refused_while_it_is_unpacked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(deb, "MAX_ENTRIES", 3)
        path = tmp_path / "x.deb"
        path.write_bytes(fake.deb(*(member(f"./{n}") for n in range(4))))
        with pytest.raises(BadPackage, match="more than 3 files"):
            read(path)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda data: data[:-1], "is cut off"),
            (lambda data: data[:70], "debian-binary is cut off"),
            (lambda data: b"PK" + data, "not an ar archive"),
            (lambda data: data.replace(b"data.tar.xz", b"data.tar.bz"), "in a way that kfn does not read"),
            (lambda data: data.replace(b"2.0\n", b"3.0\n", 1), "format is"),
            (lambda data: data.replace(b"control.tar.xz", b"something.else"), "no Debian package"),
            (lambda data: b"", "not an ar archive"),
        ],
    )
    def test_what_is_no_package_is_refused(self, tmp_path: Path, change: object, says: str) -> None:
        path = tmp_path / "x.deb"
        path.write_bytes(change(fake.deb((member("./a"), b"x" * 99))))  # type: ignore[operator]
        with pytest.raises(BadPackage, match=says):
            read(path)

    def test_random_damage_ends_in_the_same_error(self, tmp_path: Path) -> None:
        good, randomly, path = fake.deb((member("./a"), b"x" * 99), data=gzip.compress(b"")), random.Random(2), tmp_path / "x.deb"
        good = good.replace(b"data.tar.xz", b"data.tar.gz")
        tar = fake._tar((member("./a"), b"x" * 600), member("./b", LINK, "a"), member("./c", HARD, "./a"))
        for _ in range(300):
            spoilt = bytearray(tar)
            for _ in range(randomly.randrange(1, 4)):
                spoilt[randomly.randrange(2600)] = randomly.randrange(256)
            path.write_bytes(fake.deb(data=gzip.compress(bytes(spoilt), 1)).replace(b"data.tar.xz", b"data.tar.gz"))
            try:
                read(path)
            except BadPackage:
                continue


class TestVersions:
    def test_thousands_of_random_pairs_compare_as_dpkg_compares_them(self) -> None:
        randomly = random.Random(11)

        def some(alphabet: str, most: int) -> str:
            return "".join(randomly.choice(alphabet) for _ in range(randomly.randrange(most)))

        def version() -> str:
            epoch = f"{randomly.randrange(3)}:" if randomly.random() < 0.3 else ""
            revision = f"-{some('001.+~a', 3) or '0'}" if randomly.random() < 0.6 else ""
            return f"{epoch}{randomly.choice('0129')}{some('0019.+~ab', 6)}{revision}"

        pairs = []
        for _ in range(2400):
            left = version()
            at = randomly.randrange(len(left))
            near = left[:at] + randomly.choice(["", "~", "0", "1", "+", "a", "00"]) + left[at + randomly.randrange(2) :]
            bare = left.rpartition("-")[0]
            pairs.append((left, randomly.choice([near, version(), bare])))
        sound = re.compile(r"(?:\d+:)?\d[0-9A-Za-z.+~]*(?:-[0-9A-Za-z.+~]+)?")  # dpkg warns of others
        pairs = [(left, right) for left, right in pairs if sound.fullmatch(right)]
        is_it = "dpkg --compare-versions '{0}' {2} '{1}'"
        asked = f"if {is_it.replace('{2}', 'lt')}; then echo -1; elif {is_it.replace('{2}', 'eq')}; then echo 0; else echo 1; fi"
        script = "\n".join(asked.format(*pair) for pair in pairs)
        said = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True, timeout=100).stdout.split()
        assert len(pairs) > 1500
        for (left, right), expected in zip(pairs, map(int, said), strict=True):
            assert compare(left, right) == expected, f"{left} and {right}"
