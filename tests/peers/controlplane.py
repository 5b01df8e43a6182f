"""Kubernetes' own API server with an etcd, and nothing else of a cluster: what answers about CRDs, CEL, webhooks and kubectl is all there.

It starts in seconds on loopback, needs no root and no network namespace. Tests that need it skip where its programs were not built.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

START = 120.0  # seconds; a free machine needs five
FILES = Path(__file__).resolve().parents[2] / "deploy/chart/kfn/files/crds"


def _tools() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache")  # HOME may be empty in tests
    return home / "kfn/tools"


def program(name: str) -> str:
    """The newest one that was built. Skips the test where there is none."""
    built = sorted(_tools().glob(f"*/{name}"), key=lambda path: path.stat().st_mtime)
    if not built:
        pytest.skip(f"{name} was not built: make cluster-up, or python -m tests.cluster tools")
    return str(built[-1])


@dataclass(frozen=True)
class ControlPlane:
    """`kubeconfig` is its administrator's. The other user is `bob`, who may do everything too."""

    folder: Path
    port: int

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "admin.kubeconfig"

    def kubectl(self, *args: str, stdin: str = "", user: str = "admin", check: bool = True) -> subprocess.CompletedProcess[str]:
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "KUBECONFIG": str(self.folder / f"{user}.kubeconfig")}
        done = subprocess.run(
            [program("kubectl"), *args], input=stdin, capture_output=True, text=True, timeout=120, check=False, env=env
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    def refused(self, *args: str, stdin: str = "", user: str = "admin") -> str:
        done = self.kubectl(*args, stdin=stdin, user=user, check=False)
        assert done.returncode != 0, f"this should have been refused: {done.stdout}"
        return done.stderr


@contextlib.contextmanager
def running(folder: Path) -> Iterator[ControlPlane]:
    """With kfn's CRDs, while the block runs."""
    etcd, peer, secure = free_port(), free_port(), free_port()
    plane = ControlPlane(folder, secure)
    _write_users(plane)
    key = folder / "sa.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True, timeout=60)
    commands = (
        [program("etcd"), "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--log-level=error",
         f"--listen-client-urls=http://127.0.0.1:{etcd}", f"--advertise-client-urls=http://127.0.0.1:{etcd}",
         f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
         f"--initial-cluster=default=http://127.0.0.1:{peer}"],
        [program("kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{etcd}", f"--secure-port={secure}", "--bind-address=127.0.0.1",
         f"--cert-dir={folder / 'certs'}", f"--token-auth-file={folder / 'tokens.csv'}", "--authorization-mode=RBAC",
         f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
         "--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.96.0.0/16",
         "--disable-admission-plugins=ServiceAccount"],
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(_process(command, folder)) for command in commands]
        _until_ready(plane, started)
        plane.kubectl("apply", "--server-side", "-f", str(FILES))
        names = [f"crd/{path.stem.partition('_')[2]}.{path.stem.partition('_')[0]}" for path in FILES.glob("*.yaml")]
        plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
        plane.kubectl("create", "namespace", "kfn-system")
        for name in ("ksvc", "trigger", "bld", "pingsource"):
            _until_served(plane, name)
        yield plane


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def controller(plane: ControlPlane, url: str = "", *more: str) -> Iterator[subprocess.Popen[str]]:
    """A `kfn controller` beside it, ready, whose webhook it asks; its log is controller.log."""
    port = int(url.rpartition(":")[2])
    command = [
        sys.executable, "-m", "cli.main", "controller", "--kubeconfig", str(plane.kubeconfig), "--admin-port", "0", "--no-builds",
        "--webhook-host", "127.0.0.1", "--webhook-port", str(port), "--webhook-url", url, *more,
    ]  # fmt: skip
    env = {**os.environ, "KFN_LOG_FORMAT": "plain"}
    with (plane.folder / "controller.log").open("a") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=env)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("ready"), (plane.folder / "controller.log").read_text()[-4000:]
            yield process
        finally:
            _end(process)
            assert process.stdout is not None
            process.stdout.close()


@contextlib.contextmanager
def _process(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(15)


def _until_ready(plane: ControlPlane, started: list[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + START
    while plane.kubectl("get", "--raw", "/readyz", check=False).returncode:
        dead = [process for process in started if process.poll() is not None]
        logs = "\n".join(path.read_text()[-3000:] for path in plane.folder.glob("*.log")) if dead else ""
        assert not dead, f"{dead[0].args} ended: {logs}"
        assert time.monotonic() < end, f"the API server is not ready after {START:g} s"
        time.sleep(0.2)  # noqa: TID251 - no event loop here


def _until_served(plane: ControlPlane, name: str) -> None:
    """Discovery lags behind Established, and kubectl believes what it has seen before."""
    end = time.monotonic() + START
    while plane.kubectl("get", name, check=False).returncode:
        assert time.monotonic() < end, f"{name} is not served"
        shutil.rmtree(plane.folder / ".kube", ignore_errors=True)
        time.sleep(0.2)  # noqa: TID251 - no event loop here


def _write_users(plane: ControlPlane) -> None:
    rows = []
    for user in ("admin", "bob"):
        token = f"token-of-{user}"
        rows.append(f"{token},{user},{user},system:masters\n")
        (plane.folder / f"{user}.kubeconfig").write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n"
            f'clusters: [{{name: test, cluster: {{server: "https://127.0.0.1:{plane.port}", insecure-skip-tls-verify: true}}}}]\n'
            f"users: [{{name: test, user: {{token: {token}}}}}]\n"
            "contexts: [{name: test, context: {cluster: test, user: test}}]\n"
        )
    (plane.folder / "tokens.csv").write_text("".join(rows))
