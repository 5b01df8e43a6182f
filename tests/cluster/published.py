"""Programs that are compiled in their published module's own folder, so that its go.mod and go.sum pin every dependency.

Where modules come from is the environment's business. `python -m tests.cluster.published func` makes Knative's client for functions.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster import tools
from tests.cluster.layout import cache_folder
from tests.cluster.shell import Failed, say, step

COMPILE_WITHIN = 60 * 60.0  # seconds; with an empty cache 7 minutes for the conformance suite, 10 for func, on two busy cores
# v0.50.1 is out, but two modules that it needs (func-operator, a login helper of one registry) are not served; this is the newest that
# compiles as it is published.
FUNC = ("knative.dev/func", "v0.44.0", "20a173a6dec2e00c474bdad8e47d442c23fe7770")


def source(module: str, version: str, commit: str) -> Path:
    """The module's folder in the module cache. The commit is checked where the source tells it."""
    with tempfile.TemporaryDirectory() as elsewhere:  # in a folder with a go.mod, go would take that one's versions
        said = json.loads(go(Path(elsewhere), "mod", "download", "-json", f"{module}@{version}"))
    told = said.get("Origin", {}).get("Hash", commit)
    if told != commit:
        raise Failed(f"{module} {version} is of commit {told} now, and {commit} was pinned")
    return Path(said["Dir"])


def go(folder: Path, *command: str) -> str:
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    done = subprocess.run([tools.go(), *command], cwd=folder, env=env, capture_output=True, text=True, timeout=COMPILE_WITHIN, check=False)
    if done.returncode:
        raise Failed(f"go {' '.join(command[:2])}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def func() -> Path:
    """`func`, from the cache or compiled now."""
    module, version, commit = FUNC
    folder = cache_folder() / "tools" / f"func-{version.removeprefix('v')}"
    program = folder / "func"
    if program.exists():
        return program
    folder.parent.mkdir(parents=True, exist_ok=True)
    say(f"         compiling {module} {version} ...")
    flags = f"-s -w -X {module}/pkg/app.vers={version}"
    with step(f"compiled {folder.name}"), tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as aside:
        out = Path(aside) / "built"
        go(source(module, version, commit), "build", "-trimpath", "-ldflags", flags, "-o", str(out / "func"), "./cmd/func")
        out.rename(folder)
    return program


def main() -> int:
    if sys.argv[1:] != ["func"]:
        print("usage: python -m tests.cluster.published func", file=sys.stderr)
        return 2
    try:
        print(func())
    except Failed as failed:
        say(f"error: {failed}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
