"""What may be in a source folder, on a real file system."""

import os
from pathlib import Path

import pytest

from builder.errors import BadEntry, SourceTooLarge
from builder.source import Source, read_file, read_source


def read(root: Path, max_bytes: int = 1_000_000, max_files: int = 100, warn_bytes: int = 500_000) -> Source:
    return read_source(root, max_bytes, max_files, warn_bytes)


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
