"""Which lock says what a base is made of, and what the names of foreign images meant."""

from dataclasses import replace
from pathlib import Path

import pytest

from builder.base import images, locks
from builder.base.recipes import RECIPES, Recipe
from builder.debian.lock import Lock
from builder.debian.model import Package, Snapshot
from builder.errors import BaseLockInvalid, ProjectInvalid
from builder.project import load_project

STATIC = RECIPES["static"]


def a_lock(date: str = "2026-01-01T00:00:00Z", architecture: str = "amd64", extra: tuple[str, ...] = (), version: str = "1") -> Lock:
    packages = tuple(
        Package(name, version, architecture, "0" * 64, 1, "archive", f"pool/main/x/{name}_{version}_{architecture}.deb")
        for name in locks.roots(STATIC, extra)
    )
    return Lock("trixie", architecture, locks.roots(STATIC, extra), packages, (Snapshot("trixie", date),))


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(locks, "SHIPPED", tmp_path / "shipped")
    locks.write(tmp_path / "shipped/static.lock", [a_lock()], keep=False)


def chosen(
    tmp_path: Path, extra: tuple[str, ...] = (), architectures: tuple[str, ...] = ("amd64",), recipe: Recipe = STATIC
) -> Path | None:
    found = locks.choose(recipe, extra, architectures, tmp_path / "project", tmp_path / "cache")
    return found.file.relative_to(tmp_path) if found else None


class TestWhichLockHolds:
    def test_kfns_own_unless_there_is_another(self, tmp_path: Path) -> None:
        assert chosen(tmp_path) == Path("shipped/static.lock")

    def test_the_users_until_kfn_comes_with_a_newer_one(self, tmp_path: Path) -> None:
        locks.write(locks.user_file(STATIC), [a_lock("2026-02-01T00:00:00Z")], keep=False)
        assert chosen(tmp_path) == Path("config/kfn/base/static.lock")
        locks.write(tmp_path / "shipped/static.lock", [a_lock("2026-03-01T00:00:00Z")], keep=False)
        assert chosen(tmp_path) == Path("shipped/static.lock")

    def test_the_projects_before_all(self, tmp_path: Path) -> None:
        locks.write(locks.user_file(STATIC), [a_lock("2026-02-01T00:00:00Z")], keep=False)
        locks.write(tmp_path / "project" / locks.PROJECT, [a_lock("2025-01-01T00:00:00Z")], keep=True)
        assert chosen(tmp_path) == Path("project/kfn-base.lock")

    def test_what_stood_in_for_kfns_own_only_as_long_as_that_is_the_same(self, tmp_path: Path) -> None:
        locks.write(locks.instead_file(STATIC, tmp_path / "cache"), [a_lock()], keep=False)
        assert str(chosen(tmp_path)).startswith("cache/bases/static-")
        locks.write(tmp_path / "shipped/static.lock", [a_lock(version="2")], keep=False)
        assert chosen(tmp_path) == Path("shipped/static.lock")

    def test_none_that_lacks_a_package_or_an_architecture(self, tmp_path: Path) -> None:
        assert chosen(tmp_path, extra=("ffmpeg",)) is None
        assert chosen(tmp_path, architectures=("amd64", "arm64")) is None
        assert chosen(tmp_path, recipe=replace(STATIC, suite="bookworm")) is None

    def test_a_project_keeps_its_other_locks_when_one_is_written(self, tmp_path: Path) -> None:
        file = tmp_path / locks.PROJECT
        locks.write(file, [a_lock(), a_lock(architecture="arm64")], keep=True)
        locks.write(file, [a_lock(version="2")], keep=True)
        assert [(one.architecture, one.packages[0].version) for one in locks.read(file)] == [("amd64", "2"), ("arm64", "1")]

    @pytest.mark.parametrize("text", ["", "hello\n", "\xff"])
    def test_a_file_that_is_no_lock_is_named(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "bad.lock").write_bytes(text.encode("latin-1"))
        with pytest.raises(BaseLockInvalid, match=r"bad\.lock"):
            locks.read(tmp_path / "bad.lock")


class TestLocksThatKfnComesWith:
    @pytest.mark.parametrize("name", RECIPES)
    def test_there_is_one_for_each_base_and_architecture_with_one_python(self, name: str) -> None:
        found = {lock.architecture: lock for lock in locks.read(Path(locks.__file__).with_name("locks") / f"{name}.lock")}
        assert set(found) == {"amd64", "arm64"}
        for lock in found.values():
            assert (lock.suite, lock.roots) == (RECIPES[name].suite, locks.roots(RECIPES[name], ()))
            assert all(len(package.sha256) == 64 for package in lock.packages)
        minimal = f"python{RECIPES[name].python}-minimal"
        assert len({p.version for lock in found.values() for p in lock.packages if p.name == minimal}) <= 1


class TestNamesOfImages:
    def test_what_a_name_meant_is_kept_sorted_beside_the_others(self, tmp_path: Path) -> None:
        file = tmp_path / images.FILE
        images.write(file, {"b:1": f"sha256:{'1' * 64}"})
        images.write(file, {"a:1": f"sha256:{'2' * 64}"})
        assert list(images.read(file)) == ["a:1", "b:1"]

    def test_a_line_that_is_wrong_is_named(self, tmp_path: Path) -> None:
        (tmp_path / images.FILE).write_text("# x\na:1 sha256:12\n")
        with pytest.raises(BaseLockInvalid, match="line 2"):
            images.read(tmp_path / images.FILE)


class TestPackagesInFuncYaml:
    def _project(self, tmp_path: Path, packages: str) -> tuple[str, ...]:
        (tmp_path / "func.py").write_text("def handle(request): ...\n")
        (tmp_path / "func.yaml").write_text(f"name: x\nruntime: python\nkfn:\n  packages: {packages}\n")
        return load_project(tmp_path).packages

    def test_each_counts_once_in_whatever_order(self, tmp_path: Path) -> None:
        assert self._project(tmp_path, "[libgomp1, ffmpeg, libgomp1]") == ("ffmpeg", "libgomp1")

    @pytest.mark.parametrize("name", ["Ffmpeg", "../x", "a b", "libx=1.0", "-y"])
    def test_what_is_no_package_name_is_refused_with_its_line(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ProjectInvalid, match=r"func\.yaml:4.*no name of a Debian package"):
            self._project(tmp_path, f"['{name}']")
