"""`kfn keeper` as a user starts it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

KFN = [sys.executable, "-c", "import sys; sys.argv[0] = 'kfn'; from cli.main import main; main()", "keeper"]


def test_it_listens_says_where_and_ends_with_sigterm(tmp_path: Path) -> None:
    env = {**os.environ, "KFN_SLOTS_TOKEN": "secret"}
    with subprocess.Popen([*KFN, "--listen", "127.0.0.1:0"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready: keeping slots at 127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--listen", "127.0.0.1:0"], "needs a token"),
        (["--listen", "127.0.0.1:0", "--lease", "default/slots"], "needs a token"),
        (["--listen", "nowhere"], "neither unix:PATH nor HOST:PORT"),
        (["--listen", "unix:/tmp/x", "--lease", "slots"], "is not NAMESPACE/NAME"),
    ],
)
def test_what_it_cannot_start_for_is_named(arguments: list[str], says: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != "KFN_SLOTS_TOKEN"}
    ended = subprocess.run([*KFN, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert says in ended.stderr
