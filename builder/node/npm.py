"""node and npm, as processes. npm finds registry and credentials in its own configuration, and its words are shown as they are.

Install scripts run only when they are asked for; without them npm runs no code of any package.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder import files, process
from builder.errors import (
    BuildError,
    DependencyError,
    IndexRefused,
    IndexUnreachable,
    IndexUntrusted,
    PackageLockStale,
    SyntaxInvalid,
    ToolMissing,
)
from builder.node.lock import REMEDY

_QUIET = ("--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--loglevel=error", "--color=false", "--logs-max=0")
# What the tree in the image depends on is said here and not left to the configuration of this machine.
_TREE = (
    "--omit=dev",
    "--include=optional",
    "--include=peer",
    "--install-strategy=hoisted",
    "--install-links=false",
    "--bin-links",
    "--umask=022",
)
_CODE = re.compile(r"^npm (?:error|ERR!) code (\S+)", re.MULTILINE)
_NETWORK = {
    "ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ERR_SOCKET_TIMEOUT", "EPIPE",
    "E429", "E500", "E502", "E503", "E504", "FETCH_ERROR", "ENOTCACHED",
}  # fmt: skip
_UNTRUSTED = {
    "SELF_SIGNED_CERT_IN_CHAIN", "DEPTH_ZERO_SELF_SIGNED_CERT", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    "UNABLE_TO_GET_ISSUER_CERT", "CERT_HAS_EXPIRED", "ERR_TLS_CERT_ALTNAME_INVALID",
}  # fmt: skip
_REFUSED = {"E401", "E403", "ENEEDAUTH", "EOTP"}
CHECK_TIMEOUT = 30.0  # seconds


def binary(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise ToolMissing(
            f"{name} is not on PATH; a Node function is built with node and npm. Install them, or build with --builder dockerfile"
        )
    return found


async def syntax(root: Path, script: str) -> None:
    """Let node read a script without running it. Raises SyntaxInvalid with the line."""
    ended = await process.run([binary("node"), "--check", str(root / script)], cwd=root, timeout=CHECK_TIMEOUT, env=_environment({}))
    if ended.code:
        said = ended.stderr.decode("utf-8", "replace").replace(f"file://{root}/", "").replace(f"{root}/", "")
        lines = [line for line in said.splitlines() if not line.startswith(("    at ", "Node.js v"))]
        raise SyntaxInvalid("node cannot read it\n" + "\n".join(lines).strip()[-4000:])


async def abi() -> str:
    """Which compiled modules this machine's node can load: what install scripts build or fetch depends on it."""
    words = [binary("node"), "-p", "process.versions.modules + ' ' + process.version"]
    ended = await process.run(words, timeout=CHECK_TIMEOUT, env=_environment({}))
    return ended.stdout.decode("utf-8", "replace").strip()


async def install(
    root: Path,
    lock: str,
    platform: Sequence[str],
    cache: Path,
    *,
    scripts: bool,
    offline: bool,
    build_envs: Mapping[str, str],
    timeout: float,
) -> None:
    """`npm ci` in `root`, which has package.json and the lock file called `lock`. `cache` is npm's if there is no home for its own."""
    words = [
        binary("npm"),
        "ci",
        *_QUIET,
        *_TREE,
        *platform,
        f"--ignore-scripts={str(not scripts).lower()}",
        *(("--offline",) if offline else ()),
    ]
    env = _environment(build_envs)
    if not any(key.lower() == "npm_config_cache" for key in env) and not os.access(env.get("HOME") or "/nowhere", os.W_OK):
        env["npm_config_cache"] = str(files.in_use(cache))
    ended = await process.run(words, cwd=root, env=env, timeout=timeout)
    if ended.code:
        said = ended.stderr.decode("utf-8", "replace")
        raise files.said_full(said, root) or _error(said, lock, offline)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key not in ("NODE_OPTIONS", "NODE_ENV", "INIT_CWD")} | dict(extra)
    return env | {"NO_COLOR": "1", "NO_UPDATE_NOTIFIER": "1"}


def _error(text: str, lock: str, offline: bool) -> BuildError:
    said = re.sub(r"(://)[^/@\s]+@", r"\1***@", text.strip())
    noise = ("npm warn", "npm error A complete log of this run", "npm error Log files were not")
    lines = [line for line in said.splitlines() if not line.startswith(noise)]
    code = found[1] if (found := _CODE.search(said)) else ""
    told = f"npm says:\n{chr(10).join(lines).strip()[-4000:]}"
    if code == "EUSAGE":
        return PackageLockStale(f"{lock} does not fit package.json; bring it up to date with `{REMEDY}`. {told}")
    if code == "EINTEGRITY":
        return DependencyError(
            f"{told}\nA package is not the one that was locked. This can mean tampering: find out why before you make {lock} again"
        )
    if code in _REFUSED:
        return IndexRefused(f"{told}\nGive the registry's credentials to npm: npm login, or an .npmrc file")
    if code in _UNTRUSTED:
        return IndexUntrusted(
            f"{told}\nIf the registry has an authority of its own, NODE_EXTRA_CA_CERTS names the file with its certificate"
        )
    if code in _NETWORK:
        return IndexUnreachable(f"{told}\nThe build is offline, and npm's cache does not have it" if offline else told)
    if code == "EBADPLATFORM":
        return DependencyError(f"a package that is not optional does not run on the image's platform. {told}")
    return DependencyError(f"{lock} asked for them. {told}")
