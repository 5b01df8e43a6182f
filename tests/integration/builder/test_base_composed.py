"""kfn's own bases, made of packages from this machine's mirror: what is in them, that they run, and that they are always the same."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from builder import elf
from builder.base import locks
from builder.base.recipes import RECIPES
from builder.base.tree import unpack
from builder.cache import Cache
from builder.errors import DependencyError, LockStale, PackageGone
from builder.platform import host
from builder.tar import Member
from tests.integration.builder.bases import CACHE, archive, base
from tests.peers.containerd import containerd

ROOT = Path(__file__).resolve().parents[3]
IMPORTS = "import ssl, sqlite3, ctypes, lzma, bz2, zlib, zoneinfo, asyncio, hashlib, uuid, decimal, curses, readline"
LOOK = f"""{IMPORTS}, os
print(os.getuid(), os.getgid(), os.path.expanduser('~'), len(ssl.create_default_context().get_ca_certs()) > 100)
print(zoneinfo.ZoneInfo('Europe/Berlin'), sqlite3.connect(':memory:').execute('select 1').fetchone()[0])
print(asyncio.run(asyncio.sleep(0, 'ran')))
"""
# Starts the builder's own worker as a build does, with its job as standard input; there is no shell to do it.
WORK = "import os; os.dup2(os.open('/job.json', 0), 0); os.execv('/usr/bin/python3', ['python3', '-I', '-S', '-B', '/worker.py'])"


def names(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as tar:
        return {member.name: member for member in tar}


class TestInAContainer:
    async def test_python_runs_as_an_ordinary_user_with_its_library_compiled(self, tmp_path: Path) -> None:
        one = await base("python3.13", tmp_path)
        with containerd() as runtime:
            image = runtime.load(archive(one, tmp_path / "base.tar"))
            ran = runtime.run(image, "python3", "-c", LOOK, read_only=True)
            assert ran.stdout.split() == ["1000", "1000", "/home/nonroot", "True", "Europe/Berlin", "1", "ran"], ran.stderr
            slow = runtime.run(image, "python3", "-v", "-c", IMPORTS)
            read = [line for line in slow.stderr.splitlines() if line.startswith("# code object from") and line.endswith(".py'")]
            assert "# code object from '/usr/lib/python3.13/__pycache__/ssl.cpython-313.pyc'" in slow.stderr
            assert not read, f"compiled at the start: {read}"

    async def test_its_own_interpreter_in_the_container_compiles_the_same_bytes(self, tmp_path: Path) -> None:
        """Which is what lets a build run it on the host."""
        one = await base("python3.13", tmp_path)
        inside = names(Cache(CACHE).blob(one.layers[-1].digest))
        compiled = {path for path in inside if path.endswith(".pyc")}
        sources = [f"{Path(path).parent.parent}/{Path(path).name.split('.')[0]}.py" for path in compiled]
        job = {"root": "/", "files": sorted(sources), "out": "/tmp/out", "prefix": "", "look": [], "seconds": 100, "kfn": ""}
        cache = Cache(tmp_path / "cache")
        extra = cache.add(
            "x", "x", [Member("job.json", load=json.dumps(job).encode), Member("worker.py", source=ROOT / "builder/python/worker.py")], {}
        )
        for layer in one.layers:
            os.link(Cache(CACHE).blob(layer.digest), cache.blob(layer.digest))
        file = archive(replace(one, layers=(*one.layers, extra.layer)), tmp_path / "base.tar", cache=cache.path)
        with containerd() as runtime:
            ran = runtime.run(runtime.load(file), "python3", "-c", WORK, read_only=True, timeout=110)
            assert ran.returncode == 0, ran.stderr
            (out,) = (runtime.folder / "tmp").glob("*/out")
            with tarfile.open(Cache(CACHE).blob(one.layers[-1].digest)) as tar:
                differing = [path for path in compiled if tar.extractfile(path).read() != (out / path).read_bytes()]  # type: ignore[union-attr]
        assert len(compiled) > 500
        assert not differing

    async def test_python_of_debian_12_runs_too(self, tmp_path: Path) -> None:
        one = await base("python3.11", tmp_path)
        with containerd() as runtime:
            ran = runtime.run(runtime.load(archive(one, tmp_path / "base.tar")), "python3", "-c", LOOK)
            assert ran.stdout.split()[:2] == ["1000", "1000"], ran.stderr

    async def test_node_runs_and_trusts_the_certificates(self, tmp_path: Path) -> None:
        one = await base("node", tmp_path)
        with containerd() as runtime:
            image = runtime.load(archive(one, tmp_path / "base.tar"))
            ran = runtime.run(
                image, "node", "-e", "console.log(process.getuid(), new Intl.NumberFormat('de').format(1.5), require('zlib') != null)"
            )
            assert ran.stdout.split() == ["1000", "1,5", "true"], ran.stderr

    async def test_a_package_from_func_yaml_is_there_with_the_links_that_its_script_would_make(self, tmp_path: Path) -> None:
        one = await base("python3.13", tmp_path, packages=("libblas3", "libgomp1"))
        code = "import ctypes; print([ctypes.CDLL(name)._handle != 0 for name in ('libblas.so.3', 'libgomp.so.1')])"
        with containerd() as runtime:
            ran = runtime.run(runtime.load(archive(one, tmp_path / "base.tar")), "python3", "-c", code)
            assert ran.stdout.strip() == "[True, True]", ran.stderr


class TestItsInterpreterOnThisMachine:
    async def test_it_knows_nothing_of_the_hosts_python(self, tmp_path: Path) -> None:
        one = await base("python3.13", tmp_path)
        assert one.python
        spoilt = {
            "PYTHONPATH": str(tmp_path),
            "PYTHONHOME": "/nowhere",
            "LD_PRELOAD": "/nowhere.so",
            "LD_LIBRARY_PATH": "/nowhere",
            "PATH": "/usr/bin",
        }
        ask = "import sys, ssl; print(sys.version_info[:2], *sys.path, ssl.__file__, ssl.OPENSSL_VERSION)"
        ran = subprocess.run([*one.python.command, "-I", "-S", "-c", ask], env=spoilt, capture_output=True, text=True, check=True)
        root = Path(one.python.command[-1]).parents[2]
        version, paths = ran.stdout.partition(")")[::2]
        assert version == "(3, 13"
        assert all(word.startswith(str(root)) for word in paths.split() if word.startswith("/"))
        assert "OpenSSL 3.5" in ran.stdout
        maps = "print(*{line.split()[-1] for line in open('/proc/self/maps') if '/' in line})"
        mapped = subprocess.run(
            [*one.python.command, "-I", "-S", "-c", "import ssl, ctypes\n" + maps], capture_output=True, text=True, check=True
        )
        strange = [path for path in mapped.stdout.split() if not path.startswith(str(root))]
        assert not strange, "files of the host's"


class TestWhatIsInIt:
    async def test_every_binary_is_for_its_architecture(self, tmp_path: Path) -> None:
        for architecture in ("amd64", "arm64"):
            one = await base("python3.13", tmp_path, architecture)
            root = tmp_path / architecture
            root.mkdir()
            with_files = [Cache(CACHE).blob(layer.digest).open("rb") for layer in one.layers]
            unpack(with_files, root)
            for file in with_files:
                file.close()
            binaries = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and _is_elf(path)]
            assert len(binaries) > 60
            assert {elf.read(path).architecture for path in binaries} == {architecture}
            self._records_are_true(root, one.components)
            shutil.rmtree(root)

    @staticmethod
    def _records_are_true(root: Path, components: tuple) -> None:  # type: ignore[type-arg]
        """What scanners read: each package, with the sums of those of its files that are there; and each one's licence."""
        status = root / "var/lib/dpkg/status.d"
        assert {path.name for path in status.iterdir() if path.suffix != ".md5sums"} == {one.name for one in components}
        for one in components:
            assert f"Version: {one.version}\n" in (status / one.name).read_text()
            assert (root / "usr/share/doc" / one.name / "copyright").exists(), f"{one.name} has no copyright file"
            for line in (status / f"{one.name}.md5sums").read_text().splitlines():
                digest, _, path = line.partition("  ")
                assert hashlib.md5((root / path).read_bytes(), usedforsecurity=False).hexdigest() == digest, path

    async def test_no_special_bit_owner_or_time_is_in_a_layer(self, tmp_path: Path) -> None:
        one = await base("python3.13", tmp_path)
        for layer in one.layers:
            for name, member in names(Cache(CACHE).blob(layer.digest)).items():
                special = {"tmp": 0o1777, "var/tmp": 0o1777, "run/lock": 0o1777}.get(name, 0)
                assert not name.startswith("/")
                assert (member.mode & 0o7000) == special & 0o7000, name
                assert (member.mtime, member.uname, member.gname) == (0, "", "")
                assert member.uid == (1000 if name == "home/nonroot" else 0)

    async def test_bases_of_one_suite_share_their_lower_layers(self, tmp_path: Path) -> None:
        static, python, node = [await base(name, tmp_path) for name in ("static", "python3.13", "node")]
        assert python.layers[0] == node.layers[0] == static.layers[0]
        assert python.layers[1] == node.layers[1]
        assert len(static.layers) == 1
        assert (static.libc, static.python) == ("", None)

    @pytest.mark.skipif(not shutil.which("umoci") or not shutil.which("skopeo"), reason="umoci and skopeo are not installed")
    async def test_independent_readers_take_it(self, tmp_path: Path) -> None:
        one = await base("static", tmp_path)
        archive(one, tmp_path / "layout", "oci", "base")
        run = subprocess.run(
            ["umoci", "unpack", "--rootless", "--image", f"{tmp_path}/layout:base", str(tmp_path / "bundle")],
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        root = tmp_path / "bundle" / "rootfs"
        assert os.readlink(root / "bin") == "usr/bin"
        assert (root / "etc/os-release").resolve() == root / "usr/lib/os-release"
        assert "Debian GNU/Linux 13" in (root / "usr/lib/os-release").read_text()
        told = subprocess.run(["skopeo", "inspect", f"oci:{tmp_path}/layout:base"], capture_output=True, text=True)
        assert '"Architecture": "amd64"' in told.stdout, told.stderr


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == elf.MAGIC


class TestTheSameEverywhere:
    async def test_another_user_without_capabilities_makes_the_same_bytes(self, tmp_path: Path) -> None:
        """Also with another umask, time zone, folder and hash seed, from an empty cache, and with no mirror: the packages are enough."""
        one = await base("python3.13", tmp_path)
        if not shutil.which("setpriv") or os.geteuid():
            pytest.skip("only root can become another user")
        python = next((p for p in (sys.executable, "/usr/bin/python3") if _open_to_all(p)), "")
        if not python:
            pytest.skip("no Python that another user may start")
        other = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
        try:
            (other / "cache/blobs/sha256").mkdir(parents=True)
            for lock in locks.read(locks.shipped_file(RECIPES["python3.13"])):
                for package in lock.packages if lock.architecture == host().architecture else ():
                    shutil.copy(Cache(CACHE).blob(package.digest), other / "cache/blobs/sha256" / package.sha256)
            for path in (other, *other.rglob("*")):
                os.chown(path, 65534, 65534)
            code = (
                "import anyio, os, sys; from pathlib import Path; from tests.integration.builder.bases import *\n"
                "os.umask(0o077)\n"
                f"one = anyio.run(lambda: find('python3.13', Platform('{host().architecture}'), Project(Path('{other}'), 'x'), "
                f"options(cache=Path('{other}/cache'), offline=True)))\n"
                "print(os.getuid(), one.cached, one.digest)"
            )
            drop = [
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--no-new-privs",
                "--bounding-set=-all",
                "--inh-caps=-all",
            ]
            site = next(path for path in sys.path if path.endswith("site-packages"))
            env = {
                "PYTHONPATH": f"{ROOT}:{site}",
                "HOME": str(other),
                "TZ": "Asia/Tokyo",
                "PYTHONHASHSEED": "77",
                "LANG": "C",
                "PATH": os.environ["PATH"],
            }
            ran = subprocess.run([*drop, python, "-B", "-c", code], cwd=other, env=env, capture_output=True, text=True, timeout=110)
            assert ran.stdout.split() == ["65534", "False", one.digest], ran.stderr[-2000:]
        finally:
            shutil.rmtree(other)


def _open_to_all(program: str) -> bool:
    real = Path(os.path.realpath(program))
    same = subprocess.run([program, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=False).stdout
    return all(path.stat().st_mode & 0o001 for path in real.parents) and same.strip() == str(sys.version_info[:2])


class TestLocks:
    def _age(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As if kfn came with a lock whose tzdata the mirror no longer has."""
        shutil.copytree(locks.SHIPPED, tmp_path / "locks")
        lock = tmp_path / "locks" / "static.lock"
        lines = lock.read_text().splitlines(keepends=True)
        old = [
            " ".join([*line.split(" ")[:3], "0" * 64, *line.split(" ")[4:]]).replace("tzdata_20", "tzdata_19")
            if line.startswith("tzdata ")
            else line
            for line in lines
        ]
        lock.write_text("".join(old))
        monkeypatch.setattr(locks, "SHIPPED", tmp_path / "locks")

    async def test_when_the_mirror_has_moved_on_the_newest_versions_are_taken_and_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await base("static", tmp_path)
        self._age(tmp_path, monkeypatch)
        first = await base("static", tmp_path, cache=tmp_path / "cache")
        assert "the mirror no longer has what static.lock names" in first.warnings[0]
        assert "tzdata" in first.warnings[0]
        again = await base("static", tmp_path, cache=tmp_path / "cache", offline=True)
        assert (again.digest, again.cached, again.warnings) == (first.digest, True, ())

    async def test_locked_means_those_or_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        await base("static", tmp_path)
        self._age(tmp_path, monkeypatch)
        with pytest.raises(PackageGone, match=r"tzdata.*without --locked the newest versions are taken"):
            await base("static", tmp_path, cache=tmp_path / "cache", locked=True)

    async def test_packages_of_func_yaml_are_pinned_beside_it_once(self, tmp_path: Path) -> None:
        with pytest.raises(LockStale, match=r"kfn-base\.lock does not have libgomp1"):
            await base("python3.13", tmp_path, packages=("libgomp1",), locked=True)
        first = await base("python3.13", tmp_path, packages=("libgomp1",))
        text = (tmp_path / locks.PROJECT).read_text()
        assert "wants libgomp1\n" in text
        again = await base("python3.13", tmp_path, packages=("libgomp1",), locked=True, offline=True)
        assert again.digest == first.digest
        assert len(first.layers) == 4
        assert [one.name for one in first.components][-1] == "libgomp1"
        assert (tmp_path / locks.PROJECT).read_text() == text

    async def test_a_package_that_does_not_exist_is_named(self, tmp_path: Path) -> None:
        await base("static", tmp_path)
        with pytest.raises(DependencyError, match="libnosuch"):
            await base("static", tmp_path, packages=("libnosuch",))
        assert not (tmp_path / locks.PROJECT).exists()
