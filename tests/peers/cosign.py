"""The real cosign, where it is on PATH or in the user's cache (`go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3`).

It asks the network for nothing: keys are files, transparency logs are off.
"""

import asyncio
import os
import pwd
import shutil
from pathlib import Path

import pytest


def binary() -> str:
    """Its path. Skips the test where it is not."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # HOME is empty in tests
    path = shutil.which("cosign") or shutil.which("cosign", path=str(home / ".cache/kfn/tools"))
    if not path:
        pytest.skip("cosign is not installed, neither on PATH nor in ~/.cache/kfn/tools")
    return path


async def cosign(*args: str, home: Path, password: str = "", timeout: float = 60.0) -> tuple[int, str]:
    """Its exit code, and what it says on both outputs."""
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "COSIGN_PASSWORD": password, "COSIGN_YES": "true"}
    child = await asyncio.create_subprocess_exec(
        binary(), *args, env=env, cwd=home, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(timeout):
            out, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return child.returncode or 0, out.decode()
