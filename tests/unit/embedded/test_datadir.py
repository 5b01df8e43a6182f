"""Whose a data directory may be, and what its token is worth."""

import os
from pathlib import Path

import pytest

from embedded import datadir


class TestDirectory:
    def test_one_that_holds_other_things_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("x")
        tmp_path.chmod(0o755)
        with pytest.raises(datadir.DataDirError, match="holds other things"), datadir.locked(tmp_path):
            pass
        assert tmp_path.stat().st_mode & 0o777 == 0o755 and os.listdir(tmp_path) == ["thesis.txt"]

    def test_the_home_directory_is_refused_even_when_empty(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(datadir.DataDirError, match="not kfn's"), datadir.locked(tmp_path):
            pass

    def test_images_built_before_the_first_start_are_no_hindrance(self, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        with datadir.locked(tmp_path):
            assert tmp_path.stat().st_mode & 0o777 == 0o700
        (tmp_path / "notes").touch()  # put there later: the lock says that the directory is ours
        with datadir.locked(tmp_path):
            pass


class TestToken:
    @pytest.mark.parametrize("content", ["", "\n", "short"])
    def test_an_empty_or_torn_one_is_made_anew(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "token").write_text(content)
        token = datadir.token(tmp_path)
        assert len(token) >= 32 and datadir.token(tmp_path) == token

    def test_one_that_others_could_read_is_closed(self, tmp_path: Path) -> None:
        token = datadir.token(tmp_path)
        (tmp_path / "token").chmod(0o666)
        assert datadir.token(tmp_path) == token and (tmp_path / "token").stat().st_mode & 0o777 == 0o600
