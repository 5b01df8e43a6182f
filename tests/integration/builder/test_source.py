"""What may be in a source folder, on a real file system."""

import ctypes
import hashlib
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.errors import BadEntry, SourceTooLarge
from builder.sources import source as source_module
from builder.sources.source import Source, open_file, read_file, read_source


def read(root: Path, max_bytes: int = 1_000_000, max_files: int = 100, warn_bytes: int = 500_000) -> Source:
    return read_source(root, max_bytes, max_files, warn_bytes)


def without_roots_rights() -> None:
    """Let this thread read only what its user may read, even if that is root."""
    head, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # version 3, this thread; three sets, twice 32 bits
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(head, data) == 0
    data[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(head, data) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    root.mkdir()
    (root / "func.py").write_text("x = 1\n")
    return root


class TestLimits:
    def test_a_huge_source_is_refused_with_its_largest_files_before_it_is_read(self, folder: Path) -> None:
        for n in range(12):
            with (folder / f"weights{n:02}.bin").open("wb") as file:
                file.truncate((n + 1) * 10**11)  # sparse: reading it would take minutes
        with pytest.raises(SourceTooLarge) as error:
            read(folder)
        lines = str(error.value).splitlines()
        assert "/weights11.bin" in lines[0]
        assert len(lines) == 11
        assert lines[1].split() == ["1200000.0", "MB", "weights11.bin"]

    def test_too_many_files_are_refused_while_they_are_counted(self, folder: Path) -> None:
        for n in range(101):
            (folder / f"{n}.txt").touch()
        with pytest.raises(SourceTooLarge, match="more than 100 files"):
            read(folder)

    def test_a_large_source_is_built_with_a_warning(self, folder: Path) -> None:
        (folder / "model.bin").write_bytes(b"x" * 600_000)
        assert "the source has 1 MB" in read(folder).warnings[0]


class TestLinks:
    @pytest.mark.parametrize(
        ("target", "said"),
        [
            ("/etc/passwd", "must be relative"),
            ("../outside", "which is outside"),
            ("sub/../../outside", "which is outside"),
            ("loop", "leads back to itself"),
        ],
    )
    def test_a_link_out_of_the_folder_is_refused_by_name(self, folder: Path, target: str, said: str) -> None:
        (folder.parent / "outside").write_text("secret")
        (folder / "loop").symlink_to(target)
        with pytest.raises(BadEntry, match=said) as error:
            read(folder)
        assert "loop" in str(error.value)

    def test_a_link_that_leaves_through_another_link_is_refused(self, folder: Path) -> None:
        (folder.parent / "outside").mkdir()
        (folder / "a").mkdir()
        (folder / "a" / "b").symlink_to("../../outside")
        with pytest.raises(BadEntry, match="a/b is a link"):
            read(folder)

    def test_a_link_inside_stays_a_link_and_a_dangling_one_is_told(self, folder: Path) -> None:
        (folder / "good").symlink_to("func.py")
        (folder / "gone").symlink_to("nothing")
        source = read(folder)
        assert {file.path: file.link for file in source.files} == {"func.py": "", "gone": "nothing", "good": "func.py"}
        assert source.warnings == ("gone is a link to nothing, which does not exist",)


class TestEntries:
    def test_a_named_pipe_is_refused(self, folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        with pytest.raises(BadEntry, match="pipe is a named pipe"):
            read(folder)

    @pytest.mark.parametrize("name", [b"new\nline", b"bell\x07", b"not-\xff-utf8"])
    def test_a_name_that_cannot_be_shown_is_refused(self, folder: Path, name: bytes) -> None:
        with open(os.path.join(os.fsencode(folder), name), "wb"):
            pass
        with pytest.raises(BadEntry, match="a file name must"):
            read(folder)

    def test_what_is_hashed_is_what_is_read(self, folder: Path) -> None:
        source = read(folder)
        (folder / "func.py").write_text("x = 2\n")
        with pytest.raises(BadEntry, match="changed while it was read"):
            read_file(folder, source.files[0])
        (folder / "func.py").unlink()
        (folder / "func.py").symlink_to("/etc/passwd")
        with pytest.raises(BadEntry, match="cannot be read"):
            read_file(folder, source.files[0])


class TestIgnoreRules:
    def test_the_authors_rules_come_last_and_may_bring_something_back(self, folder: Path) -> None:
        for name in ("data.csv", "keep.csv", "debug.log", "ca.pem", ".env", ".env.example"):
            (folder / name).write_text("x")
        (folder / ".kfnignore").write_text("# notes\n*.csv\n!keep.csv\n!debug.log\n!ca.pem\n")
        source = read(folder)
        assert [file.path for file in source.files] == [".env.example", "ca.pem", "debug.log", "func.py", "keep.csv"]
        assert source.secrets == (".env",)
        assert "write !.env in .kfnignore" in source.warnings[0]

    def test_the_digest_counts_content_names_and_the_program_bit_but_not_time(self, folder: Path) -> None:
        first = read(folder).digest
        os.utime(folder / "func.py", (0, 0))
        assert read(folder).digest == first
        (folder / "func.py").chmod(0o755)
        assert read(folder).digest != first
        (folder / "func.py").chmod(0o644)
        (folder / "func.py").rename(folder / "main.py")
        assert read(folder).digest != first


class TestNestedRules:
    def test_a_folder_that_is_left_out_is_not_entered_and_kfnignore_brings_back_what_a_gitignore_left_out(self, folder: Path) -> None:
        for path in ("dist/app.js", "dist/keep", "build/x", "pkg/gen.so", "pkg/a.py"):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text("x")
        (folder / ".gitignore").write_text("dist/\nbuild/\n*.so\n")
        (folder / "pkg/.kfnignore").write_text("!*.so\n")
        (folder / ".kfnignore").write_text("!dist/\n!build/x\n")
        assert [file.path for file in read(folder).files] == ["dist/app.js", "dist/keep", "func.py", "pkg/a.py", "pkg/gen.so"]

    @pytest.mark.parametrize("name", [".kfnignore", ".funcignore"])
    def test_an_ignore_file_that_is_a_link_is_refused(self, folder: Path, name: str) -> None:
        (folder.parent / "rules").write_text("*")
        (folder / name).symlink_to("../rules")
        with pytest.raises(BadEntry, match=name):
            read(folder)

    def test_a_gitignore_that_is_a_link_is_not_read_as_git_does_not(self, folder: Path) -> None:
        (folder.parent / "rules").write_text("*")
        (folder / ".gitignore").symlink_to("../rules")
        assert [file.path for file in read(folder).files] == ["func.py"]

    def test_large_build_output_that_a_gitignore_keeps_out_is_told(self, folder: Path) -> None:
        (folder / ".gitignore").write_text("weights/\n")
        (folder / "weights").mkdir()
        with (folder / "weights/model.bin").open("wb") as file:
            file.truncate(20_000_000)
        assert "weights/ (20 MB or more)" in read(folder).warnings[0]
        (folder / ".kfnignore").write_text("/weights/\n")
        assert read(folder).warnings == ()


class TestSecrets:
    KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqh" * 4 + "\n-----END PRIVATE KEY-----\n"

    def test_by_content_are_told_and_may_be_allowed(self, folder: Path) -> None:
        (folder / "deploy_key").write_text(self.KEY)
        assert "deploy_key (a private key) looks like a secret" in read(folder).warnings[0]
        allowed = read_source(folder, 10**6, 100, 10**6, allow=("./deploy_key",))
        assert allowed.warnings == ()

    def test_that_were_brought_back_are_told_unless_they_are_certificates_or_allowed(self, folder: Path) -> None:
        (folder / ".env").write_text("A=1")
        (folder / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
        (folder / ".kfnignore").write_text("!.env\n!*.pem\n")
        (told,) = read(folder).warnings
        assert ".env (its name says so)" in told
        assert "ca.pem" not in told
        assert "--allow-secret-file .env" in told
        assert read_source(folder, 10**6, 100, 10**6, allow=(".env",)).warnings == ()

    def test_an_allowed_file_that_does_not_go_in_is_told(self, folder: Path) -> None:
        assert "no such file" in read_source(folder, 10**6, 100, 10**6, allow=("nothing",)).warnings[0]


class TestRememberedHashes:
    def read(self, folder: Path) -> Source:
        return read_source(folder, 10**6, 100, 10**6, stats=folder.parent / "stats")

    def aged(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        """As if everything had been written so long ago."""
        monkeypatch.setattr(source_module, "now", lambda: time.time_ns() + int(seconds * 1e9))

    def test_spare_reading_what_is_unchanged(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.aged(monkeypatch, 10)
        (folder / "deploy_key").write_text(TestSecrets.KEY)
        first = self.read(folder)
        monkeypatch.setattr(source_module.walk, "open_file", lambda *_: pytest.fail("it was read again"))
        assert self.read(folder) == first

    def test_notice_a_change_that_keeps_size_and_time(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.aged(monkeypatch, 10)
        first = self.read(folder)
        info = (folder / "func.py").stat()
        (folder / "func.py").write_text("x = 2\n")
        os.utime(folder / "func.py", ns=(info.st_atime_ns, info.st_mtime_ns))
        assert self.read(folder).digest != first.digest

    def test_do_not_trust_a_file_that_was_just_written(self, folder: Path) -> None:
        for n in range(50):  # within one tick of the file system's clock, so that size and times are the same
            (folder / "func.py").write_text(f"x = {n % 10}\n")
            assert self.read(folder).files[0].sha256 == hashlib.sha256(f"x = {n % 10}\n".encode()).hexdigest()
        assert not (folder.parent / "stats").exists(), "nothing is kept of it"

    @pytest.mark.parametrize("damage", [b"", b"x", b"\x92\x01\x81\xa7func.py\x01", b"\x92\x63\x80"])
    def test_that_are_damaged_count_as_none(self, folder: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes) -> None:
        self.aged(monkeypatch, 10)
        first = self.read(folder)
        (file,) = (folder.parent / "stats").iterdir()
        file.write_bytes(damage)
        assert self.read(folder) == first


class TestOddEntries:
    def test_sockets_and_devices_are_refused_by_their_kind(self, folder: Path) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / "s"))
            with pytest.raises(BadEntry, match="s is a socket"):
                read(folder)

    def test_a_file_that_cannot_be_read_is_named(self, folder: Path) -> None:
        (folder / "func.py").chmod(0)
        with ThreadPoolExecutor(1, initializer=without_roots_rights) as pool, pytest.raises(BadEntry) as error:
            pool.submit(read, folder).result()
        assert "func.py cannot be read: Permission denied. Make it readable, or add it to .kfnignore" in str(error.value)

    def test_a_tree_of_many_levels_is_refused(self, folder: Path) -> None:
        deep = folder
        for _ in range(102):
            deep = deep / "d"
        deep.mkdir(parents=True)
        with pytest.raises(BadEntry, match="more than 100 folders"):
            read(folder)

    def test_a_folder_that_becomes_a_link_while_it_is_read_leads_nowhere(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder.parent / "outside").mkdir()
        (folder.parent / "outside/x.py").write_text("secret")
        (folder / "pkg").mkdir()
        (folder / "pkg/x.py").write_text("public")
        swapped = source_module.walk.opened_folder

        def swap(root: int, path: str) -> object:
            if path == "pkg" and not (folder / "pkg").is_symlink():
                (folder / "pkg").rename(folder.parent / "old")
                (folder / "pkg").symlink_to("../outside")
            return swapped(root, path)

        monkeypatch.setattr(source_module.walk, "opened_folder", swap)
        with pytest.raises(BadEntry, match="pkg cannot be read"):
            read(folder)

    def test_a_link_to_what_is_left_out_is_told(self, folder: Path) -> None:
        (folder / "app.log").write_text("x")
        (folder / "latest").symlink_to("app.log")
        assert read(folder).warnings == ("latest is a link to app.log, which is left out of the image",)

    def test_a_large_file_is_never_held_whole(self, folder: Path) -> None:
        (folder / "big.bin").write_bytes(b"x" * 700_000)
        found = read(folder, 10**6)
        big = next(file for file in found.files if file.path == "big.bin")
        with open_file(folder, big) as opened:
            assert sum(len(chunk) for chunk in iter(lambda: opened.read(1000), b"")) == 700_000
        (folder / "big.bin").write_bytes(b"x" * 699_999 + b"y")
        with open_file(folder, big) as opened, pytest.raises(BadEntry, match="changed while it was read"):
            while opened.read(1000):
                pass
