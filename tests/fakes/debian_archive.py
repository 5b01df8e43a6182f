"""A Debian archive of a test's own: real packages by dpkg-deb, a signature by gpg, a server on loopback that misbehaves when told.

Needs the programs dpkg-deb, gpg and gpgconf; `missing()` names those that this machine lacks.
"""

import hashlib
import io
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kfn.clock import utcnow


def missing(*programs: str) -> str:
    """The reason to skip a test, or nothing."""
    lacking = [name for name in programs or ("dpkg-deb", "gpg", "gpgconf") if not shutil.which(name)]
    return f"{' and '.join(lacking)} not installed" if lacking else ""


@dataclass(frozen=True)
class Gpg:
    """A keyring with one signing key. Use `gpg_home`."""

    home: Path

    def run(self, *arguments: str, data: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--no-tty", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
        return subprocess.run([*command, *arguments], input=data, capture_output=True, check=True, timeout=60).stdout

    def keyring(self, path: Path) -> Path:
        path.write_bytes(self.run("--export"))
        return path

    def clearsigned(self, text: str, *more: str) -> bytes:
        return self.run("--digest-algo", "SHA512", *more, "--clearsign", data=text.encode())

    def detached(self, text: str) -> bytes:
        return self.run("--digest-algo", "SHA256", "--armor", "--detach-sign", data=text.encode())


@contextmanager
def gpg_home(home: Path, algorithm: str = "ed25519", *, usage: str = "sign", expires: str = "never") -> Iterator[Gpg]:
    """`home` must be a short path: gpg's agent listens on a socket in it."""
    home.mkdir(mode=0o700)
    gpg = Gpg(home)
    try:
        gpg.run("--quick-gen-key", "Test archive <archive@example.org>", algorithm, usage, expires)
        yield gpg
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False, timeout=60)
        shutil.rmtree(home, ignore_errors=True)


@dataclass
class Archive:
    """Files under `root`, in `archive/` and `security/`. `publish` writes the indices of what was added, and signs."""

    root: Path
    gpg: Gpg
    packages: dict[str, list[str]] = field(default_factory=dict)  # suite -> stanzas
    date: datetime = field(default_factory=lambda: utcnow() - timedelta(hours=1))
    valid: timedelta = timedelta(days=7)

    def add(
        self,
        suite: str,
        name: str,
        version: str = "1.0",
        *,
        files: dict[str, str] | None = None,
        architecture: str = "amd64",
        **fields: str,
    ) -> Path:
        """Build a package and list it in `suite`. `fields` are those of its control file: depends="libc6"."""
        tree = self.root / "build" / f"{name}_{version}_{architecture}"
        shutil.rmtree(tree, ignore_errors=True)
        control = {
            "Package": name,
            "Version": version,
            "Architecture": architecture,
            "Maintainer": "T <t@example.org>",
            "Description": "test",
        }
        control |= {key.replace("_", "-").title(): value for key, value in fields.items()}
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
        for path, text in (files if files is not None else {f"usr/share/{name}": name}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        target = self._pool(suite, name) / f"{name}_{version}_{architecture}.deb"
        command = ["dpkg-deb", "-Zxz", "-z1", "--root-owner-group", "--build", str(tree), str(target)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        self.list(suite, target, control)
        return target

    def _pool(self, suite: str, name: str) -> Path:
        folder = self.root / side(suite) / "pool" / "main" / name[0] / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def list(self, suite: str, deb: Path, control: dict[str, str]) -> None:
        data = deb.read_bytes()
        path = deb.relative_to(self.root / side(suite))
        stanza = control | {"Filename": str(path), "Size": str(len(data)), "SHA256": hashlib.sha256(data).hexdigest()}
        self.packages.setdefault(suite, []).append("".join(f"{key}: {value}\n" for key, value in stanza.items()))

    def publish(self, *suites: str, architecture: str = "amd64", change: Callable[[str], str] = str, index: bytes | None = None) -> None:
        """Write dists/ of each suite. `change` edits the Release's text before it is signed, `index` replaces the packed index."""
        for suite in suites:
            folder = self.root / side(suite) / "dists" / suite
            binary = folder / "main" / f"binary-{architecture}"
            (binary / "by-hash" / "SHA256").mkdir(parents=True, exist_ok=True)
            packed = index if index is not None else lzma.compress("\n".join(self.packages.get(suite, [])).encode())
            digest = hashlib.sha256(packed).hexdigest()
            for path in (binary / "Packages.xz", binary / "by-hash" / "SHA256" / digest):
                path.write_bytes(packed)
            text = (
                f"Origin: Test\nSuite: {suite}\nCodename: {suite}\nDate: {format_datetime(self.date)}\n"
                f"Valid-Until: {format_datetime(self.date + self.valid)}\nAcquire-By-Hash: yes\nArchitectures: {architecture}\n"
                f"Components: main\nSHA256:\n {digest} {len(packed)} main/binary-{architecture}/Packages.xz\n"
            )
            (folder / "InRelease").write_bytes(self.gpg.clearsigned(change(text)))


def side(suite: str) -> str:
    return "security" if suite.endswith("-security") else "archive"


@dataclass
class Server:
    """`faults` may answer a path instead: status, headers, body, and after how many bytes of it to hang up."""

    root: Path
    asked: list[tuple[str, str]] = field(default_factory=list)  # path, Range
    faults: "dict[str, Sequence[Fault]]" = field(default_factory=dict)  # regular expression -> one for each time; the last one stays
    counted: Counter[str] = field(default_factory=Counter)
    address: str = ""

    def fault(self, path: str) -> "Fault | None":
        for pattern, faults in self.faults.items():
            if re.search(pattern, path):
                self.counted[pattern] += 1
                return faults[min(self.counted[pattern], len(faults)) - 1]
        return None


@dataclass(frozen=True)
class Fault:
    """`status` 0 means: as it should be, but for the rest."""

    status: int = 0
    body: bytes | None = None
    cut: int | None = None
    ranges: bool = True


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    server = Server(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, server)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with _Http(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.address = f"http://127.0.0.1:{http.server_address[1]}"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # kept-alive connections end with their client

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests are about."""


def _answer(handler: BaseHTTPRequestHandler, server: Server) -> None:
    path, asked = handler.path, handler.headers.get("Range", "")
    server.asked.append((path, asked))
    fault = server.fault(path) or Fault()
    file = server.root / os.path.relpath(path, "/")
    data = fault.body if fault.body is not None else file.read_bytes() if file.is_file() else None
    status, start = (404, 0) if data is None else (200, 0)
    data = data or b""
    tag = f'"{hashlib.sha256(data).hexdigest()}"'
    if status == 200 and (match := re.fullmatch(r"bytes=(\d+)-", asked)) and fault.ranges:
        start = int(match[1])
        status = 206 if start < len(data) else 416
    if status == 200 and handler.headers.get("If-None-Match") == tag:
        status, data = 304, b""
    body = data[start:] if (status := fault.status or status) in (200, 206) else b""
    handler.send_response(status)
    if status == 206:
        handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    handler.send_header("ETag", tag)
    if status != 304:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body if fault.cut is None else body[: fault.cut])
    if fault.cut is not None and fault.cut < len(body):
        handler.wfile.flush()
        handler.close_connection = True


def deb(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], data: bytes | None = None, name: str = "evil") -> bytes:
    """A package made by hand, with members that dpkg-deb would not put into one. `data` replaces the packed data archive."""
    control = _tar((_file("./control"), f"Package: {name}\nVersion: 1.0\nArchitecture: amd64\n".encode()))
    packed = data if data is not None else lzma.compress(_tar(*members), preset=1)
    parts = (("debian-binary", b"2.0\n"), ("control.tar.xz", lzma.compress(control)), ("data.tar.xz", packed))
    return b"!<arch>\n" + b"".join(_ar(name, content) for name, content in parts)


def _ar(name: str, content: bytes) -> bytes:
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)


def _file(path: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(path)


def member(path: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def _tar(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for one in members:
            info, content = one if isinstance(one, tuple) else (one, b"")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()
