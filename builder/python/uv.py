"""uv, as a process: chooses versions and installs wheels. Its words are shown as they are, with the file that asked.

Runs no code of any package: wheels only.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio.to_thread

from builder import files, process
from builder.errors import BuildError, DependencyError, IndexRefused, IndexUnreachable, IndexUntrusted, ToolMissing
from builder.python import index, lockfile, nobuild, sdists
from builder.python import picks as picking
from builder.python.lockfile import Pin
from builder.python.picks import Pick
from builder.python.requirements import Inputs
from builder.python.target import Target

_NO_ANSWER = (
    "error sending request", "connection (refused|reset|closed)", "dns error", "timed? ?out", "(could not|failed to) connect",
    "connect error", "network is unreachable", "network (connectivity is|was) disabled", r"\b(429|50[0234]) ", "temporary failure",
    "tls handshake", "tcp connect", "unexpected eof",
)  # fmt: skip
_NO_BUILD = ("--no-build",)  # not `--only-binary :all:`, to which a project's own settings can add `:none:`
_NETWORK = re.compile("|".join(_NO_ANSWER), re.IGNORECASE)
_REFUSED = re.compile(r"\b(401|403)\b|unauthorized|forbidden", re.IGNORECASE)
_UNTRUSTED = re.compile(r"invalid peer certificate|certificate verify failed|unknownissuer", re.IGNORECASE)
_HASHES = re.compile(r"hash mismatch", re.IGNORECASE)
_NO_WHEEL = re.compile(r"no usable wheels|no wheels|building from source is disabled|has no .*wheels?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Uv:
    """How to call uv for one project."""

    root: Path
    inputs: Inputs
    offline: bool
    build_envs: tuple[tuple[str, str], ...]
    sdists: bool = False  # may choose packages that have no wheel

    async def resolve(self, lowest: str, old: str, timeout: float) -> str:
        """Choose versions for every platform and every Python from `lowest` on: a requirements text with hashes.

        What `old`, an earlier answer, has is kept where it still fits.
        """
        arguments = ["pip", "compile", "--quiet", "--no-header", "--generate-hashes", *self._wheels(), "--universal"]
        arguments += ["--python", sys.executable, "--python-version", lowest, "--no-emit-index-url", "--no-emit-find-links"]
        arguments += _each("--extra", self.inputs.extras) + _each("--group", self.inputs.groups)
        with tempfile.TemporaryDirectory(prefix="kfn-") as name:
            folder = Path(name)
            answer, override = folder / "lock.txt", folder / "override.txt"
            answer.write_text(old, "utf-8")
            if re.search(r"(?mi)^\s*kfn\b", self.inputs.text):
                # The runtime layer brings it; this makes its requirement one that never applies.
                override.write_text('kfn ; python_version < "3"\n')
                arguments += ["--override", str(override)]
            ended = await self._run([*arguments, "--output-file", str(answer), self.inputs.file], timeout)
            if ended.code:
                raise _error(ended, self.inputs.file, f"Python {lowest} and later")
            return lockfile.relative(answer.read_text("utf-8"), str(self.root), self.inputs.file)

    async def export(self, timeout: float) -> str:
        """uv.lock as a requirements text."""
        arguments = ["export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-header", "--format", "requirements-txt"]
        ended = await self._run([*arguments, *_each("--extra", self.inputs.extras), "--python", sys.executable], timeout)
        if ended.code:
            raise _error(ended, "uv.lock", "every platform")
        return ended.stdout.decode()

    async def pick(self, pins: Sequence[Pin], target: Target, timeout: float) -> tuple[Pick, ...]:
        """Which file of each of these packages `target` gets; those whose marker does not hold there are left out."""
        arguments = [
            "pip",
            "compile",
            "--quiet",
            "--no-header",
            "--no-deps",
            "--generate-hashes",
            "--format",
            "pylock.toml",
            *self._wheels(),
        ]
        with tempfile.TemporaryDirectory(prefix="kfn-") as name:
            folder = Path(name)
            asked = self._asked(folder, [self._spec(pin) for pin in pins], {})
            answer = folder / "pylock.toml"
            ended = await self._run([*arguments, *_for(target), "--output-file", str(answer), *asked], timeout)
            if ended.code:
                raise _error(ended, self.inputs.file, str(target))
            picks = picking.parse(answer.read_text("utf-8"), pins, self.inputs.file)
            return tuple(replace(pick, where=_place(pick.where, folder)) for pick in picks)

    async def install(self, picks: Sequence[Pick], target: Target, folder: Path, timeout: float) -> None:
        """Put exactly these files into `folder`."""
        arguments = ["pip", "install", "--quiet", "--target", str(folder), "--no-deps", "--require-hashes", *_NO_BUILD]
        arguments += ["--link-mode", "hardlink", *_for(target)]
        with tempfile.TemporaryDirectory(prefix="kfn-") as name:
            asked = self._asked(Path(name), [pick.spec for pick in picks], {pick.spec: pick.sha256 for pick in picks})
            constraints = ["-c", asked[1]] if asked[1:] else []
            ended = await self._run([*arguments, "-r", asked[0], *constraints], timeout)
        if ended.code:
            full = files.said_full(ended.stderr.decode("utf-8", "replace"), folder)
            raise full or _error(ended, self.inputs.file, str(target))

    async def build(self, picks: Sequence[Pick], target: Target, folder: Path, timeout: float) -> None:
        """Build these source distributions, which runs their code, and put what comes of them into `folder`."""
        arguments = ["pip", "install", "--quiet", "--target", str(folder), "--no-deps", "--require-hashes", "--link-mode", "copy"]
        arguments += ["--python", sdists.interpreter(target, picks)]
        with tempfile.TemporaryDirectory(prefix="kfn-") as name:
            asked = self._asked(Path(name), [pick.spec for pick in picks], {pick.spec: pick.sha256 for pick in picks})
            constraints = ["-c", asked[1]] if asked[1:] else []
            ended = await self._run([*arguments, "-r", asked[0], *constraints], timeout)
        if ended.code:
            error = _error(ended, self.inputs.file, str(target))
            raise type(error)(error.detail + sdists.advice(error.detail, target))

    def _asked(self, folder: Path, specs: Sequence[str], hashes: Mapping[str, str]) -> list[str]:
        """Files that ask for these packages. In files, not as arguments, which every user of the machine could read: indexes may hold a
        password. Hashes of a project's packages are in a file of constraints, the second one."""
        lines = [f"{spec} --hash=sha256:{hashes[spec]}" if spec in hashes and "@" not in spec else spec for spec in specs]
        requirements, project = folder / "requirements.txt", folder / "pyproject.toml"
        requirements.write_text("".join(f"{line}\n" for line in (*self.inputs.index, *lines)), "utf-8")
        if not self.inputs.sources:
            return [str(requirements)]
        project.write_text(picking.project(specs, self.inputs.sources, self.inputs.indexes), "utf-8")
        return [str(project), *([str(requirements)] if hashes else [])]

    def _spec(self, pin: Pin) -> str:
        rest = pin.spec[len(pin.local) :]
        return f"{pin.name} @ {(self.root / pin.local).resolve().as_uri()}{rest}" if pin.local else pin.spec

    def _wheels(self) -> list[str]:
        return [] if self.sdists else list(_NO_BUILD)

    async def _run(self, arguments: Sequence[str], timeout: float) -> process.Ended:
        """With source distributions allowed, uv may run code of packages at any time, also to read what they depend on."""
        argv = [binary(), *arguments, *(["--offline"] if self.offline else [])]
        env = index.environment(dict(self.build_envs))
        if not self.sdists:
            if told := self.inputs.builds or await anyio.to_thread.run_sync(nobuild.settings, self.root.absolute()):
                raise DependencyError(f"{told}, which would run packages' code in the build; take it out, or build with --allow-sdists")
            return await process.run(argv, cwd=self.root, env=env, timeout=timeout)
        with sdists.surroundings(env, self.inputs.indexes, dict(self.build_envs), timeout) as around:
            return await process.run([*around.argv, *argv], cwd=self.root, env=around.env, timeout=timeout)


def _for(target: Target) -> list[str]:
    platform = ["--python-platform", target.wheels] if target.wheels else []
    return ["--python", sys.executable, "--python-version", target.python.version, *platform]


def _each(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _place(where: str, folder: Path) -> str:
    return where if "://" in where or not where else (folder / where).resolve().as_uri()


def binary() -> str:
    """The uv that was installed with kfn, else one on PATH."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if not found:
        raise ToolMissing("uv is not beside this Python and not on PATH; install it with `pip install uv`")
    return found


def _error(ended: process.Ended, file: str, target: str) -> BuildError:
    said = re.sub(r"(://)[^/@\s]+@", r"\1***@", ended.stderr.decode("utf-8", "replace").strip())
    text = f"{file} asked for them, for {target}. uv says:\n{said[-4000:]}"
    if _HASHES.search(said):
        return DependencyError(
            f"{text}\nA package is not the one that was locked. This can mean tampering: find out why before you delete the lock"
        )
    if _REFUSED.search(said):
        return IndexRefused(f"{text}\nGive the index's credentials to uv, for example in UV_DEFAULT_INDEX or a netrc file")
    if _UNTRUSTED.search(said):
        return IndexUntrusted(f"{text}\nIf the index has an authority of its own, SSL_CERT_FILE names the file with its certificate")
    if _NETWORK.search(said):
        return IndexUnreachable(text)
    if _NO_WHEEL.search(said):
        return DependencyError(
            f"{text}\nThat package has no wheel for {target}, and kfn installs wheels only, so that a build runs no foreign code. Ways "
            "out: a version that has one, another Python (kfn.python) or base (kfn.base), another --platform, or --allow-sdists"
        )
    return DependencyError(text)
