"""What is read and written as text: locks, lists of sources, apt's configuration, Release files, copyright files."""

from pathlib import Path

import pytest

from builder.debian import aptconf, control, lock, release, sources
from builder.debian.licences import licences
from builder.debian.lock import Lock
from builder.debian.model import Package, Snapshot
from builder.debian.sources import Mirrors, Source
from builder.errors import BaseLockInvalid, MirrorUnknown

HASH = "ab" * 32
LOCK = Lock(
    "trixie",
    "arm64",
    ("ca-certificates", "nodejs (>= 20)"),
    (
        Package("base-files", "13.8+deb13u1", "arm64", HASH, 73472, "archive", "pool/main/b/base-files/base-files_13.8+deb13u1_arm64.deb"),
        Package("tzdata", "2026f-0+deb13u1", "all", HASH, 4, "security", "pool/updates/main/t/tzdata/tzdata_2026f-0+deb13u1_all.deb"),
    ),
    (Snapshot("trixie", "2026-09-12T07:55:41Z"),),
)


class TestLock:
    def test_it_is_read_as_it_was_written(self) -> None:
        assert lock.parse(lock.text(LOCK), "x") == LOCK

    def test_the_same_packages_give_the_same_text_in_any_order(self) -> None:
        turned = Lock(LOCK.suite, LOCK.architecture, LOCK.roots[::-1], LOCK.packages[::-1], LOCK.snapshots)
        assert lock.text(turned) == lock.text(LOCK)

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("# kfn-base-lock 1", "# kfn-base-lock 2", "does not begin with"),
            (HASH, "abc", "no sha256"),
            ("73472", "-1", "no number of bytes"),
            ("archive pool", "mirror pool", "the origin is 'mirror'"),
            ("pool/main/b/", "pool/main/../../", "no path below pool/"),
            ("pool/main/b/", "/etc/pool/main/b/", "no path below pool/"),
            ("pool/main/b/", "pool/main/b/?x=", "no path below pool/"),
            ("tzdata 2026f", "base-files 2026f", "base-files more than once"),
            ("13.8+deb13u1 arm64", "13.8+deb13u1 amd64", "is for amd64, the lock for arm64"),
            ("suite trixie", "suit trixie", "line 3"),
            ("architecture arm64\n", "", "names no architecture"),
        ],
    )
    def test_a_damaged_one_is_refused_with_the_place(self, old: str, new: str, says: str) -> None:
        text = lock.text(LOCK)
        assert old in text
        with pytest.raises(BaseLockInvalid, match=says):
            lock.parse(text.replace(old, new, 1), "base.lock")


DEB822 = """\
Types: deb deb-src
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

# security
Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main
Enabled: no

Types: deb-src
URIs: http://source.example/debian
Suites: trixie
Components: main
"""


def etc(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


class TestSources:
    def test_both_archives_are_taken_from_the_machines_list(self, tmp_path: Path) -> None:
        found = sources.find({}, etc(tmp_path, sources_DOT_list_DOT_d__debian_DOT_sources=DEB822))
        assert (found.archive, found.security) == (("http://mirror.example/debian",), ("http://security.example/debian-security",))
        assert not found.security_guessed

    def test_one_line_lists_with_options_and_comments_are_read(self) -> None:
        text = "# deb http://no.example x main\ndeb [arch=amd64 signed-by=/a,/b] https://m.example/debian stable main contrib # yes\n"
        assert list(sources.one_line(text)) == [Source("https://m.example/debian", "stable", ("main", "contrib"), "/a /b")]

    @pytest.mark.parametrize(
        "line",
        [
            "deb http://third.example/ubuntu noble main",
            "deb http://third.example/linux/debian bookworm stable",
            "deb http://third.example cloud-sdk-bookworm main",
            "deb http://third.example ./",
            "deb cdrom:[x]/ bookworm main",
        ],
    )
    def test_sources_of_others_are_ignored(self, tmp_path: Path, line: str) -> None:
        with pytest.raises(MirrorUnknown, match="KFN_DEBIAN_MIRROR"):
            sources.find({}, etc(tmp_path, sources_DOT_list=line))

    def test_one_that_looks_like_debians_comes_behind_the_one_with_debians_keyring(self, tmp_path: Path) -> None:
        text = "deb http://third.example bookworm main\ndeb [signed-by=/x/debian-archive-keyring.gpg] http://m.example bookworm main"
        assert sources.find({}, etc(tmp_path, sources_DOT_list=text)).archive == ("http://m.example", "http://third.example")

    def test_a_list_of_mirrors_in_a_file_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "mirrors").write_text("# two\nhttps://a.example/debian\nhttps://b.example/debian priority:2\n")
        found = sources.find({}, etc(tmp_path, sources_DOT_list=f"deb mirror+file:{tmp_path}/mirrors trixie main"))
        assert found.archive == ("https://a.example/debian", "https://b.example/debian")

    def test_the_environment_goes_before_the_machine_and_a_flag_before_both(self, tmp_path: Path) -> None:
        folder = etc(tmp_path, sources_DOT_list_DOT_d__debian_DOT_sources=DEB822)
        environ = {"KFN_DEBIAN_MIRROR": "http://env.example/d/", "KFN_DEBIAN_ALLOW_STALE": "1"}
        found = sources.find(environ, folder)
        assert (found.archive, found.security, found.security_guessed) == (
            ("http://env.example/d",),
            ("http://env.example/d-security",),
            True,
        )
        assert found.allow_stale
        assert sources.find(environ, folder, mirror="http://flag.example", security="none") == Mirrors(
            ("http://flag.example",), (), allow_stale=True
        )

    @pytest.mark.parametrize("text", ["ftp://x/debian", "mirror.example/debian", "http://", "file:///srv/debian"])
    def test_an_address_that_is_none_is_refused_without_being_told(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(MirrorUnknown, match="KFN_DEBIAN_MIRROR should be"):
            sources.find({"KFN_DEBIAN_MIRROR": text}, tmp_path)

    def test_apts_proxies_are_used(self, tmp_path: Path) -> None:
        nested = 'Acquire { // a comment\n http { Proxy "http://p.example:3142"; Proxy::local.example "DIRECT"; }; };'
        folder = etc(tmp_path, apt_DOT_conf=nested, apt_DOT_conf_DOT_d__90x='# no\nAcquire::https::Proxy "http://s.example"; /* x; */')
        assert aptconf.proxies(folder, {}) == {
            "http://": "http://p.example:3142",
            "http://local.example": "",
            "https://": "http://s.example",
        }


RELEASE = f"""\
Suite: stable
Codename: trixie
Date: Sat, 12 Sep 2026 07:55:41 UTC
Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC
Acquire-By-Hash: yes
Architectures: all amd64
SHA256:
 {HASH} 10 main/binary-amd64/Packages
 {HASH} 5 main/binary-amd64/Packages.xz
 {HASH} 5 main/binary-all/Packages.gz
"""
NOW = 1_789_300_000.0  # 2026-09-13


class TestRelease:
    def check(self, text: str = RELEASE, suite: str = "trixie", now: float = NOW, allow_stale: bool = False) -> release.Release:
        found = release.parse(text)
        release.check(found, suite, now, allow_stale=allow_stale)
        return found

    def test_it_says_what_it_has(self) -> None:
        found = self.check()
        assert (found.names, found.rfc3339, found.by_hash) == ({"stable", "trixie"}, "2026-09-12T07:55:41Z", True)
        assert [file.path for file in release.indices(found, "main", "amd64")] == [
            "main/binary-amd64/Packages.xz",
            "main/binary-all/Packages.gz",
        ]

    def test_packages_for_all_are_not_read_twice(self) -> None:
        found = self.check(RELEASE.replace("SHA256:", "No-Support-for-Architecture-all: Packages\nSHA256:"))
        assert [file.path for file in release.indices(found, "main", "amd64")] == ["main/binary-amd64/Packages.xz"]

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("trixie", "bookworm", "that of bookworm or stable, not of trixie"),
            ("Sat, 12 Sep 2026", "Mon, 14 Sep 2026", "hours in the future by this machine's clock"),
            ("Sat, 12 Sep 2026", "someday", "no time"),
            (f" {HASH} 5 main/binary-amd64", f" {HASH[1:]} 5 main/binary-amd64", "damaged"),
            ("SHA256", "MD5Sum", "no SHA256"),
        ],
    )
    def test_one_that_does_not_fit_is_refused(self, old: str, new: str, says: str) -> None:
        with pytest.raises(release.Unusable, match=says):
            self.check(RELEASE.replace(old, new, 1))

    def test_an_old_one_is_refused_unless_it_may_be_old(self) -> None:
        later = NOW + 14 * 86400
        with pytest.raises(release.Unusable, match=r"valid until 2026-09-19.*KFN_DEBIAN_ALLOW_STALE"):
            self.check(now=later)
        self.check(now=later, allow_stale=True)

    @pytest.mark.parametrize(
        ("component", "architecture", "says"), [("main", "arm64", "nothing for arm64"), ("contrib", "amd64", "no index")]
    )
    def test_what_it_does_not_have_is_said(self, component: str, architecture: str, says: str) -> None:
        with pytest.raises(release.Unusable, match=says):
            release.indices(self.check(), component, architecture)


class TestControl:
    def test_stanzas_with_continued_lines(self) -> None:
        assert list(control.stanzas("A: 1\nB:\n x\n\ty\n\n\n# no\nC: 2\r\n")) == [{"A": "1", "B": "\nx\ny"}, {"C": "2"}]


class TestLicences:
    def test_names_of_files_and_alternatives_are_listed_once(self) -> None:
        text = (
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
            "Files: *\nLicense: GPL-2+ or MIT\n text\n\nFiles: a\nLicense: MIT and BSD-3-clause\n\nLicense: Apache-2.0\n full text\n"
        )
        assert licences(text) == ("BSD-3-clause", "GPL-2+", "MIT")

    def test_free_text_has_none(self) -> None:
        assert licences("This is free.\nLicense: MIT\n") == ()
