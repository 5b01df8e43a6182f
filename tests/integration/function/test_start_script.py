"""The start script of an image, in a folder like an image's /opt/kfn."""

import subprocess
import sys
from pathlib import Path

START = Path(__file__).parents[3] / "kfn/function/start.py"
LOOK = "import sys\nsys.path[0] = {runtime!r}\nimport start\nstart.add([start.DEPS])\n"


def run(opt: Path, code: str, **env: str) -> list[str]:
    """What `code` prints after the start script has made the path."""
    runtime = opt / "runtime"
    runtime.mkdir(parents=True, exist_ok=True)
    (runtime / "start.py").write_text(START.read_text())
    text = LOOK.format(runtime=str(runtime)) + code
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=20, env=env, check=True)
    return ended.stdout.split()


def deps(opt: Path, **modules: str) -> Path:
    folder = opt / "deps"
    folder.mkdir(parents=True)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder


class TestTheStartScript:
    def test_finds_dependencies_and_what_their_pth_files_name(self, tmp_path: Path) -> None:
        folder = deps(tmp_path, plain="X = 'plain'")
        (folder / "more").mkdir()
        (folder / "more" / "hidden.py").write_text("X = 'hidden'")
        (folder / "more.pth").write_text("more\n")
        assert run(tmp_path, "import plain, hidden; print(plain.X, hidden.X)") == ["plain", "hidden"]

    def test_lets_no_dependency_shadow_the_standard_library(self, tmp_path: Path) -> None:
        deps(tmp_path, json="X = 1", typing_extensions="")
        (found,) = run(tmp_path, "import json; print(json.__file__)")
        assert not found.startswith(str(tmp_path))

    def test_lets_a_dependency_win_over_what_the_base_has_installed(self, tmp_path: Path) -> None:
        deps(tmp_path, anyio="X = 'ours'")  # this environment has it too
        assert run(tmp_path, "import anyio; print(anyio.X)") == ["ours"]

    def test_runs_without_any_dependency(self, tmp_path: Path) -> None:
        assert run(tmp_path, "print('started')") == ["started"]
