"""buildah, as a process: runs the steps of a Dockerfile without a daemon and writes the result as an OCI layout.

This runs foreign code, as root of a chroot, with this machine's network. Registries and their credentials are buildah's own business.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from builder import files, process
from builder.errors import BuildError, ImageMissing, RegistryRefused, RegistryUnreachable, StepFailed, ToolMissing
from builder.platform import Platform

WAYS = (
    "Three ways lead on: install buildah; build the image elsewhere and run `kfn deploy --image IMAGE --name NAME`; "
    "or let kfn build the function itself (func.yaml: runtime: python, node, go or binary)"
)
_SHOWN = 4000  # characters of what buildah said last
_REFUSED = re.compile(r"unauthorized|authentication required|denied|invalid username/password", re.IGNORECASE)
_MISSING = re.compile(r"manifest unknown|not found in|name unknown|short-name .* did not resolve", re.IGNORECASE)
_NETWORK = re.compile(
    r"pinging container registry|connection (refused|reset)|no such host|i/o timeout|TLS handshake|(50[0234]|429) ", re.IGNORECASE
)
_STEP = re.compile(r"building at STEP|while running runtime|exit status")


def binary() -> str:
    found = shutil.which("buildah")
    if not found:
        raise ToolMissing(f"a Dockerfile is built by buildah, which is not on PATH. {WAYS}")
    return found


async def build(
    context: Path,
    file: str,
    layout: Path,
    platform: Platform,
    *,
    arguments: Mapping[str, str],
    offline: bool,
    no_cache: bool,
    timeout: float,
) -> None:
    """The image of `file` as an OCI layout in `layout`, whose folder is also for buildah's notes. Raises what it says, by kind."""
    log, identity = layout.parent / "buildah.log", layout.parent / "image-id"
    words = [
        binary(), "build", "--isolation=chroot", "--timestamp=0", "--format=oci", "--layers", f"--platform={platform}",
        f"--pull={'never' if offline else 'missing'}", f"--iidfile={identity}", f"--logfile={log}", f"--file={context / file}",
        *(("--no-cache",) if no_cache else ()),
        *(f"--build-arg={name}" for name in arguments),  # the values are in the environment, where other users do not see them
        str(context),
    ]  # fmt: skip
    ended = await process.run(words, cwd=context, env={**os.environ, **arguments}, timeout=timeout)
    if ended.code:
        raise _error(_tail(log), ended.stderr.decode("utf-8", "replace"), file, context)
    made = identity.read_text("utf-8").strip()
    ended = await process.run([binary(), "push", "--quiet", made, f"oci:{layout}"], timeout=timeout, env=dict(os.environ))
    if ended.code:
        said = ended.stderr.decode("utf-8", "replace")
        raise files.said_full(said, layout) or StepFailed(f"buildah cannot write the image: {said.strip()[-_SHOWN:]}")


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as opened:
            opened.seek(max(0, log.stat().st_size - 2 * _SHOWN))
            return opened.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _error(log: str, said: str, file: str, context: Path) -> BuildError:
    text = f"{log.strip()}\n{said.strip()}".strip().replace(str(context), ".")
    told = f"{file}: buildah says:\n{text[-_SHOWN:]}"
    if full := files.said_full(text, context):
        return full
    if not _STEP.search(said):
        if _REFUSED.search(said):
            return RegistryRefused(f"{told}\nLog in with `buildah login REGISTRY`")
        if _MISSING.search(said):
            return ImageMissing(told)
        if _NETWORK.search(said):
            return RegistryUnreachable(told)
    return StepFailed(told)
