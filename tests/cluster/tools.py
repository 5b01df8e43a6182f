"""The programs of a test cluster, built from published Go modules at pinned versions, once per machine.

`binaries/NAME/` is a Go module: its go.mod pins, its main.go or its `tool` line says what to build. The result is in
`~/.cache/kfn/tools/NAME-VERSION-HASH/`, HASH being that of the module's files. Where modules come from is the environment's business.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.layout import cache_folder
from tests.cluster.shell import Failed, say

SOURCES = Path(__file__).parent / "binaries"
BUILD_WITHIN = 40 * 60.0  # seconds; Kubernetes takes 4 minutes on two free cores
_COMPONENT = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Tool:
    name: str
    module: str  # whose version is the tool's
    package: str = "."
    version_flags: str = ""  # -X arguments for the linker; {version}, {major} and {minor} are filled in
    tags: str = ""
    called: tuple[str, ...] = ()  # names under which the program acts, if not its own
    hashed: bool = True  # or the version alone says what it is


CLUSTER = (
    Tool(
        "kubernetes",
        "k8s.io/kubernetes",
        version_flags=f"-X {_COMPONENT}.gitVersion={{version}} -X {_COMPONENT}.gitMajor={{major}} -X {_COMPONENT}.gitMinor={{minor}} "
        f"-X {_COMPONENT}.gitTreeState=clean",
        tags="grpcnotrace",
        called=("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"),
    ),
    Tool("etcd", "go.etcd.io/etcd/server/v3"),
    Tool("coredns", "github.com/coredns/coredns", tags="grpcnotrace"),
    Tool("pause", ""),
    Tool("peer", ""),
)
CLIENTS = (
    Tool("helm", "helm.sh/helm/v4", "helm.sh/helm/v4/cmd/helm", "-X helm.sh/helm/v4/internal/version.version={version}"),
    Tool(
        "kn",
        "knative.dev/client",
        "knative.dev/client/cmd/kn",
        "-X knative.dev/client/pkg/kn/commands/version.Version={version}",
        hashed=False,
    ),
)


def version_of(tool: Tool) -> str:
    if not tool.module:
        return "v1"
    found = re.search(rf"^(?:require )?\s*{re.escape(tool.module)} (v\S+)", (SOURCES / tool.name / "go.mod").read_text(), re.MULTILINE)
    assert found, f"binaries/{tool.name}/go.mod does not require {tool.module}"
    return found[1]


def folder_of(tool: Tool) -> Path:
    version = version_of(tool).removeprefix("v")
    if not tool.hashed:
        return cache_folder() / "tools" / f"{tool.name}-{version}"
    digest = hashlib.sha256(repr((tool.package, tool.version_flags, tool.tags)).encode())
    for file in sorted((SOURCES / tool.name).iterdir()):
        digest.update(file.read_bytes())
    return cache_folder() / "tools" / f"{tool.name}-{version}-{digest.hexdigest()[:8]}"


def program(name: str) -> Path:
    """Where a program is, or will be: `kubectl`, `etcd`, `helm`."""
    tool = next(tool for tool in (*CLUSTER, *CLIENTS) if name == tool.name or name in tool.called)
    return folder_of(tool) / name


def built(tool: Tool) -> bool:
    return (folder_of(tool) / tool.name).exists()


def go() -> str:
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not found:
        raise Failed("the Go toolchain (1.26 or later) is not installed: the test cluster's programs are built with it")
    return found


def ensure(tools: tuple[Tool, ...]) -> None:
    """Build what is absent. Two who ask at once build once."""
    for tool in tools:
        folder = folder_of(tool)
        if built(tool):
            continue
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f".{tool.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not built(tool):
                _build(tool, folder)


def _build(tool: Tool, folder: Path) -> None:
    version = version_of(tool)
    major, minor = version.removeprefix("v").split(".")[:2] if tool.version_flags else ("", "")
    flags = f"-s -w {tool.version_flags.format(version=version, major=major, minor=minor)}".strip()
    say(f"         building {tool.name} {version} from its Go module ...")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as aside:
        out = Path(aside) / "built"
        command = [go(), "build", "-trimpath", "-ldflags", flags, "-tags", tool.tags, "-o", str(out / tool.name), tool.package]
        env = {**os.environ, "CGO_ENABLED": "0"}
        done = subprocess.run(command, cwd=SOURCES / tool.name, env=env, capture_output=True, text=True, timeout=BUILD_WITHIN, check=False)
        if done.returncode:
            raise Failed(f"{tool.name} {version} cannot be built: {done.stderr.strip()[-2000:]}")
        for name in tool.called:
            (out / name).symlink_to(tool.name)
        shutil.rmtree(folder, ignore_errors=True)
        out.rename(folder)
    say(f"{time.monotonic() - begin:6.1f} s  built {folder.name}, {(folder / tool.name).stat().st_size >> 20} MiB")
