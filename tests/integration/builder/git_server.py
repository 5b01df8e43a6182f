"""git's own HTTP server on loopback, open or behind a password, and a way to make repositories for it, hostile ones too."""

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

USER, PASSWORD = "alice", "s3cret-T0ken"
ENV = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}


def git(*argv: str, at: Path, stdin: bytes = b"") -> str:
    done = subprocess.run(["git", "-C", str(at), *argv], input=stdin, capture_output=True, env=ENV, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@dataclass
class GitServer:
    root: Path
    port: int
    requests: list[str] = field(default_factory=list)

    def url(self, name: str = "hello", who: str = "") -> str:
        return f"http://{who}127.0.0.1:{self.port}/{name}.git"

    def repository(self, name: str = "hello", files: dict[str, str] | None = None) -> Path:
        """A bare repository with one commit on main. A value that begins with `-> ` makes a link."""
        work = self.root / f"{name}-work"
        work.mkdir(parents=True)
        git("init", "-q", "-b", "main", at=work)
        self.commit(work, files or {"func.py": "def handle(request):\n    return 'hello'\n"})
        git("clone", "-q", "--bare", str(work), str(self.root / f"{name}.git"), at=self.root)
        bare = self.root / f"{name}.git"
        git("config", "uploadpack.allowFilter", "true", at=bare)
        git("config", "uploadpack.allowAnySHA1InWant", "true", at=bare)
        return work

    def commit(self, work: Path, files: dict[str, str]) -> str:
        for path, text in files.items():
            target = work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if text.startswith("-> "):
                target.symlink_to(text[3:])
            else:
                target.write_text(text)
        git("add", "-A", "-f", at=work)
        git("commit", "-q", "-m", "x", at=work)
        return git("rev-parse", "HEAD", at=work)

    def push(self, work: Path, *refs: str) -> None:
        git("push", "-q", str(self.root / (work.name.removesuffix("-work") + ".git")), *refs, at=work)

    def hostile(self, name: str, listing: bytes) -> None:
        """A repository whose root tree is what `git mktree` never makes: `listing` is the raw tree object."""
        self.repository(name)
        bare = self.root / f"{name}.git"
        tree = git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", at=bare, stdin=listing)
        commit = git("commit-tree", "-m", "x", tree, at=bare)
        git("update-ref", "refs/heads/main", commit, at=bare)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def log_message(self, format: str, *args: object) -> None:
        return None

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._serve(body)

    def _serve(self, body: bytes) -> None:
        owner = self.server.owner
        owner.requests.append(f"{self.command} {self.path}")
        path, _, query = self.path.partition("?")
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if path.startswith("/private") and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        env = {
            **ENV,
            "GIT_PROJECT_ROOT": str(owner.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        answer = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: GitServer


@contextmanager
def serving(root: Path) -> Iterator[GitServer]:
    root.mkdir(parents=True, exist_ok=True)
    if subprocess.run(["git", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("git is not on this machine")
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.owner = GitServer(root, server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.owner
        finally:
            server.shutdown()
            thread.join()
