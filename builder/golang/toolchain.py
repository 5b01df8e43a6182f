"""The go command, as a process. Where modules come from is its own environment's business (GOPROXY, GOFLAGS, the module cache).

A program is made of the source and of these settings alone: no path of this machine, no time, no version control, no C compiler.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from builder import files, process
from builder.errors import BuildError, CompileFailed, DependencyError, IndexUnreachable, ModulesStale, ToolMissing

# What the bytes of a program depend on beside the source.
SETTINGS = ("GOVERSION", "GOFLAGS", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GOFIPS140", "GODEBUG")
LDFLAGS = "-s -w -buildid="
ENV_TIMEOUT = 300.0  # seconds; go may have to fetch the toolchain that go.mod asks for
_STALE = re.compile(
    r"missing go\.sum entry|updates to go\.(mod|sum) needed|inconsistent vendoring|updating go\.(mod|sum)|checksum mismatch"
)
_TAMPERED = re.compile(r"SECURITY ERROR|checksum mismatch")
_NETWORK = re.compile(
    r"dial tcp|connection (refused|reset)|no such host|i/o timeout|TLS handshake|50[0234] |429 |module lookup disabled|network is unreach"
)


def binary() -> str:
    found = shutil.which("go") or (beside if os.access(beside := "/usr/local/go/bin/go", os.X_OK) else None)
    if not found:
        raise ToolMissing("go is not on PATH; install the Go toolchain, or compile the program yourself: kfn build --binary FILE")
    return found


async def settings(root: Path, env: Mapping[str, str]) -> dict[str, str]:
    """The toolchain's version and settings for the module in `root`. Raises ToolMissing, CompileFailed."""
    ended = await process.run([binary(), "env", "-json", *SETTINGS], cwd=root, env=env, timeout=ENV_TIMEOUT)
    if ended.code:
        raise _error(ended.stderr.decode("utf-8", "replace"), root)
    return {str(name): str(value) for name, value in json.loads(ended.stdout).items()}


async def compile_program(root: Path, package: str, target: Path, architecture: str, env: Mapping[str, str], timeout: float) -> None:
    """The main package at `package` becomes the static program `target`. Raises CompileFailed with file and line."""
    vendored = (root / "vendor/modules.txt").is_file()
    words = [
        binary(),
        "build",
        "-trimpath",
        "-buildvcs=false",
        f"-ldflags={LDFLAGS}",
        f"-mod={'vendor' if vendored else 'readonly'}",
        "-o",
        str(target),
        package,
    ]
    ended = await process.run(words, cwd=root, env={**env, "GOARCH": architecture}, timeout=timeout)
    if ended.code:
        raise _error(ended.stderr.decode("utf-8", "replace"), root)


def environment(cache: Path, *, offline: bool, workspace: bool, extra: Mapping[str, str]) -> dict[str, str]:
    """For every call. `cache` is for compiled packages if this user has no home; `workspace`: the source has a go.work."""
    env = {key: value for key, value in os.environ.items() if key not in ("GOOS", "GOARCH", "GOBIN", "PWD")} | dict(extra)
    if not env.get("GOCACHE") and not (env.get("HOME") and os.access(env["HOME"], os.W_OK)) and not env.get("XDG_CACHE_HOME"):
        env |= {"GOCACHE": str(files.in_use(cache / "go-build")), "GOPATH": env.get("GOPATH") or str(files.in_use(cache / "go"))}
    env |= {"GOOS": "linux", "CGO_ENABLED": "0", "GO111MODULE": "on"}
    if not workspace:
        env["GOWORK"] = "off"  # one in a folder above is not this source's
    if offline:
        env |= {"GOPROXY": "off", "GOTOOLCHAIN": "local"}
    return env


def _error(text: str, root: Path) -> BuildError:
    said = re.sub(r"(://)[^/@\s]+@", r"\1***@", text.strip()).replace(f"{root}/", "").replace(str(root), ".")
    lines = [line for line in said.splitlines() if not line.startswith(("go: downloading ", "# "))]
    told = "\n".join(lines)[-4000:]
    if full := files.said_full(said, root):
        return full
    if _TAMPERED.search(said):
        return DependencyError(f"go says:\n{told}\nA module is not the one that was locked. This can mean tampering: find out why first")
    if _STALE.search(said):
        return ModulesStale(f"bring it up to date with `go mod tidy` (and `go mod vendor` if there is a vendor folder). go says:\n{told}")
    if _NETWORK.search(said):
        return IndexUnreachable(f"go says:\n{told}")
    if re.search(r"^\S+\.go:\d+", told, re.MULTILINE):
        return CompileFailed(f"go says:\n{told}")
    return DependencyError(f"go says:\n{told}")
