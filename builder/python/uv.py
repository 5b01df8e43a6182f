"""uv, as a process: chooses versions and installs wheels. Its words are shown as they are, with the file that asked.

Runs no code of any package: wheels only.
"""

import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder import files, process
from builder.base.model import NONE, Base
from builder.errors import BuildError, DependencyError, IndexRefused, IndexUnreachable, ToolMissing
from builder.python import index, lockfile
from builder.python.interpreter import Interpreter
from builder.python.requirements import Inputs

_NO_ANSWER = (
    "error sending request", "connection (refused|reset|closed)", "dns error", "timed? ?out", "(could not|failed to) connect",
    "connect error", "network is unreachable", "network (connectivity is|was) disabled", r"\b(429|50[0234]) ", "temporary failure",
    "tls handshake", "tcp connect", "unexpected eof",
)  # fmt: skip
_NETWORK = re.compile("|".join(_NO_ANSWER), re.IGNORECASE)
_REFUSED = re.compile(r"\b(401|403)\b|unauthorized|forbidden", re.IGNORECASE)
_HASHES = re.compile(r"hash mismatch", re.IGNORECASE)
_NO_WHEEL = re.compile(r"no usable wheels|no wheels|building from source is disabled|has no .*wheels?", re.IGNORECASE)


def wheels_for(base: Base) -> str:
    """The wheels that `base` can load. manylinux_2_28 is what current Debian, Ubuntu and Red Hat bases all run."""
    if base.name == NONE and (sys.platform != "linux" or platform.libc_ver()[0] != "glibc"):
        return ""  # uv's own choice: this machine
    return f"{base.platform.machine}-manylinux_2_28"


@dataclass(frozen=True, slots=True)
class Uv:
    """How to call uv for one project. `wheels` is uv's name of the platform to choose them for; empty: this machine."""

    root: Path
    python: Interpreter
    wheels: str
    offline: bool
    build_envs: tuple[tuple[str, str], ...]
    index: tuple[str, ...] = ()  # options of the requirements file about where packages are

    async def resolve(self, inputs: Inputs, old: str, timeout: float) -> str:
        """Choose versions: a requirements text with hashes. What `old`, an earlier answer, has is kept where it still fits."""
        arguments = ["pip", "compile", "--quiet", "--no-header", "--generate-hashes", "--only-binary", ":all:", *self._target()]
        arguments += ["--no-emit-index-url", "--no-emit-find-links"]
        with (
            tempfile.NamedTemporaryFile("w", prefix="kfn-", suffix=".txt") as override,
            tempfile.TemporaryDirectory(prefix="kfn-") as folder,
        ):
            answer = Path(folder) / "lock.txt"
            answer.write_text(old, "utf-8")
            if re.search(r"(?mi)^\s*kfn\b", inputs.text):
                # The runtime layer brings it; this makes its requirement one that never applies.
                override.write('kfn ; python_version < "3"\n')
                override.flush()
                arguments += ["--override", override.name]
            ended = await self._run([*arguments, "--output-file", str(answer), inputs.file], timeout)
            if ended.code:
                raise _error(ended, inputs.file, self.python, self.wheels)
            return answer.read_text("utf-8")

    async def export(self, timeout: float) -> str:
        """uv.lock as a requirements text."""
        arguments = ["export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-header", "--format", "requirements-txt"]
        ended = await self._run([*arguments, "--python", sys.executable], timeout)
        if ended.code:
            raise _error(ended, "uv.lock", self.python, self.wheels)
        return ended.stdout.decode()

    async def install(self, pins: Sequence[lockfile.Pin], target: Path, file: str, timeout: float) -> None:
        """Put exactly these wheels into `target`."""
        arguments = ["pip", "install", "--quiet", "--target", str(target), "--only-binary", ":all:", "--require-hashes", "--no-deps"]
        with tempfile.NamedTemporaryFile("w", prefix="kfn-", suffix=".txt") as lock:
            # In this file, not as arguments, which every user of the machine could read: they may hold a password.
            lock.write("".join(f"{line}\n" for line in self.index) + lockfile.render(tuple(pins)))
            lock.flush()
            ended = await self._run([*arguments, *self._target(), "-r", lock.name], timeout)
        if ended.code:
            full = files.said_full(ended.stderr.decode("utf-8", "replace"), target)
            raise full or _error(ended, file, self.python, self.wheels)

    def _target(self) -> list[str]:
        platform = ["--python-platform", self.wheels] if self.wheels else []
        return ["--python", sys.executable, "--python-version", self.python.minor, *platform]

    async def _run(self, arguments: Sequence[str], timeout: float) -> process.Ended:
        offline = ["--offline"] if self.offline else []
        env = index.environment(dict(self.build_envs))
        return await process.run([binary(), *arguments, *offline], cwd=self.root, env=env, timeout=timeout)


def binary() -> str:
    """The uv that was installed with kfn, else one on PATH."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise ToolMissing("uv is not beside this Python and not on PATH; install it with `pip install uv`")
    return found


def _error(ended: process.Ended, file: str, python: Interpreter, wheels: str) -> BuildError:
    said = re.sub(r"(://)[^/@\s]+@", r"\1***@", ended.stderr.decode("utf-8", "replace").strip())
    text = f"{file} asked for them, for Python {python.minor} on {wheels or 'this machine'}. uv says:\n{said[-4000:]}"
    if _HASHES.search(said):
        return DependencyError(
            f"{text}\nA package is not the one that was locked. This can mean tampering: find out why before you delete the lock"
        )
    if _REFUSED.search(said):
        return IndexRefused(f"{text}\nGive the index's credentials to uv, for example in UV_DEFAULT_INDEX or a netrc file")
    if _NETWORK.search(said):
        return IndexUnreachable(text)
    if _NO_WHEEL.search(said):
        return DependencyError(f"{text}\nkfn installs wheels only, so that a build runs no foreign code: choose a version that has one")
    return DependencyError(text)
