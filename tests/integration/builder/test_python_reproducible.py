"""The same source gives the same digest, whoever builds it, wherever and when: as a command, with everything about it different."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.integration.builder.conftest import HANDLER, Workshop

ROOT = Path(__file__).parents[3]
MODULES = f"{ROOT}:{Path(pytest.__file__).parents[1]}"
BIG = "x = [\n" + "".join(f"    {{'key{n}': ({n}, 'text {n}', lambda a: a + {n})}},\n" for n in range(500)) + "]\n"
FILES = {
    "func_py": "import idna\n" + HANDLER,
    "big_py": BIG,
    "lib/__init__.py": "",
    "requirements_txt": "idna==3.7\ntomli==2.0.1\nmsgspec\n",
}


def build(folder: Path, home: Path, *, python: str = sys.executable, user: int = -1, umask: int = 0o022, **env: str) -> str:
    """The digest that `kfn build` prints."""
    code = f"import os; os.umask({umask}); from cli.main import main; main()"
    argv = [python, "-c", code, "build", str(folder), "--name", "same", "--store", str(home / "store"), "--no-profile", "-q"]
    base = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_", "PATH"))}
    base["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{base['PATH']}"  # uv is beside our Python, whichever runs
    around = {**base, "HOME": str(home), "PYTHONPATH": MODULES, "PYTHONDONTWRITEBYTECODE": "1", "UV_CACHE_DIR": str(home / "uv"), **env}
    given = {"user": user, "group": user, "extra_groups": []} if user >= 0 else {}
    ended = subprocess.run(argv, capture_output=True, text=True, env=around, timeout=110, cwd=home, check=False, **given)  # type: ignore[call-overload]
    assert ended.returncode == 0, ended.stderr
    return str(ended.stdout).strip().rpartition("@")[2]


class TestTheDigest:
    def test_depends_on_nothing_of_the_machine_but_its_python(self, workshop: Workshop) -> None:
        one, two = workshop.root / "home1", workshop.root / "somewhere/else/home2"
        for home in (one, two):
            home.mkdir(parents=True)
        first = workshop.source("one", **FILES)
        digest = build(first, one, TZ="UTC", LANG="C", PYTHONHASHSEED="1")
        second = workshop.source("a longer name/than before", **FILES)
        shutil.copy(first / "kfn.lock", second / "kfn.lock")
        for path in second.rglob("*"):
            os.utime(path, (1_000_000_000, 1_000_000_000))
            path.chmod(0o700 if path.is_dir() else 0o600)
        settings = {
            "TZ": "Asia/Kathmandu",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "PYTHONHASHSEED": "4242",
            "SOURCE_DATE_EPOCH": "1234567890",
        }
        assert build(second, two, umask=0o077, **settings) == digest

    def test_is_the_same_for_another_user(self, workshop: Workshop) -> None:
        if os.getuid():
            pytest.skip("only root can become somebody else")
        user = pwd.getpwnam("nobody").pw_uid
        python = reachable(user)
        with tempfile.TemporaryDirectory() as name:  # pytest's own folder is closed to others
            root = Path(name)
            root.chmod(0o755)
            (root / "ours").mkdir()
            (root / "theirs").mkdir()
            source = root / "source"
            shutil.copytree(workshop.source("source", **FILES), source)
            digest = build(source, root / "ours", python=python)
            shutil.copytree(source, root / "copy")
            for path in (root / "copy", root / "theirs", *(root / "copy").rglob("*")):
                os.chown(path, user, user)
            assert build(root / "copy", root / "theirs", python=python, user=user) == digest


def reachable(user: int) -> str:
    """A Python of our version that this user can run with what is installed beside ours."""
    look = "import cli.main, click, anyio, httptools"
    for python in (sys.executable, shutil.which(f"python{sys.version_info[0]}.{sys.version_info[1]}", path="/usr/bin:/usr/local/bin")):
        try:
            argv = [python or "", "-c", look]
            if not subprocess.run(
                argv, user=user, group=user, extra_groups=[], env={"PYTHONPATH": MODULES}, cwd="/", check=False
            ).returncode:
                return str(python)
        except OSError:
            continue
    pytest.skip("the user nobody can run no Python of this version here, or not read this checkout")
