"""A container's first process gets no SIGTERM that it has not asked for: one that comes while it still starts must end it nevertheless."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SLOW = "import time\nprint('begun', flush=True)\ntime.sleep(60)\n\n\ndef handle(context):\n    return ''\n"
WITHIN = 20.0  # seconds; the sleep is three times as long


def _first(argv: list[str], folder: Path, **env: str) -> tuple[subprocess.Popen[str], int]:
    """A process that is number 1 of its own, and its number here, once it has printed `begun`."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("unshare (util-linux) and root are needed to be a first process")
    child = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", *argv],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
    )  # fmt: skip
    assert child.stdout
    assert child.stdout.readline() == "begun\n"
    (inner,) = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    return child, int(inner)


def _ends(child: subprocess.Popen[str], inner: int) -> None:
    try:
        os.kill(inner, signal.SIGTERM)
        began = time.monotonic()
        child.wait(WITHIN)
        assert time.monotonic() - began < WITHIN
        assert child.returncode in (143, -signal.SIGTERM)
    finally:
        child.kill()
        child.communicate()


class TestAFirstProcess:
    def test_that_still_imports_a_function_ends_at_sigterm(self, tmp_path: Path) -> None:
        (tmp_path / "func.py").write_text(SLOW)
        root = str(Path(__file__).parents[3])
        _ends(
            *_first([sys.executable, "-m", "kfn.function"], tmp_path, PYTHONPATH=root, KFN_HANDLER="func:handle", KFN_SOURCE=str(tmp_path))
        )

    def test_that_still_imports_a_command_of_kfns_ends_at_sigterm(self, tmp_path: Path) -> None:
        (tmp_path / "slow.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)\n")
        code = "import sys; from cli import main; main.COMMANDS['version'] = 'slow'; sys.argv = ['kfn', 'version']; main.main()"
        root = str(Path(__file__).parents[3])
        _ends(*_first([sys.executable, "-c", code], tmp_path, PYTHONPATH=f"{root}:{tmp_path}"))
