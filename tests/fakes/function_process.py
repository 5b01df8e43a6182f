"""A real function's process from source text, and raw sockets to talk to it. Not a fake: the lowest seam is HTTP's bytes."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class FunctionProcess:
    """A process that serves; `ready` is the line that it wrote when it did."""

    def __init__(self, process: "subprocess.Popen[bytes]", ready: dict[str, Any], log: Path) -> None:
        self.process = process
        self.ready = ready
        self.port: int = ready["port"]
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def lines(self) -> list[dict[str, Any]]:
        """The request log."""
        return [json.loads(line) for line in self.log.splitlines() if '"msg":"request"' in line]

    def connect(self) -> "Wire":
        return Wire(socket.create_connection(("127.0.0.1", self.port), timeout=10))

    def get(self, path: str = "/", *headers: str, method: str = "GET", body: bytes = b"") -> "Reply":
        """One request on a connection of its own."""
        with self.connect() as wire:
            return wire.request(path, *headers, method=method, body=body)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)


class Reply:
    """A response as it was read."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.pairs = [(name.lower(), value) for name, value in (line.split(": ", 1) for line in lines if line)]
        self.headers = dict(self.pairs)
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """A connection, read by the rules of HTTP/1.1."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._held = b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def request(self, path: str = "/", *headers: str, method: str = "GET", body: bytes = b"") -> Reply:
        lines = [f"{method} {path} HTTP/1.1", "host: f", *headers]
        if body or method == "POST":
            lines.append(f"content-length: {len(body)}")
        self.send("\r\n".join((*lines, "", "")).encode("latin-1") + body)
        return self.reply(head_only=method == "HEAD")

    def reply(self, head_only: bool = False) -> Reply:
        """The next response, however its body is framed."""
        head = self.until(b"\r\n\r\n")[:-2]
        reply = Reply(head, b"")
        if head_only or reply.status in (100, 204, 304):
            return reply
        if reply.headers.get("transfer-encoding") == "chunked":
            reply.body = b"".join(self.chunks())
        elif "content-length" in reply.headers:
            reply.body = self.exactly(int(reply.headers["content-length"]))
        else:
            reply.body = self.rest()
        return reply

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.until(b"\r\n"), 16):
            yield self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        assert self.exactly(2) == b"\r\n"

    def until(self, mark: bytes) -> bytes:
        while mark not in self._held:
            self._more()
        found, _, self._held = self._held.partition(mark)
        return found + mark

    def exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            self._more()
        found, self._held = self._held[:size], self._held[size:]
        return found

    def rest(self) -> bytes:
        """Everything until the other side closes."""
        while data := self.sock.recv(65536):
            self._held += data
        found, self._held = self._held, b""
        return found

    def closed(self) -> bool:
        """Whether the other side closes, with nothing more to say."""
        return self._held == b"" and self.sock.recv(1) == b""

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError(f"closed after {self._held!r}")
        self._held += data


def write(folder: Path, files: str | dict[str, str]) -> Path:
    """A source folder; a plain text is its func.py."""
    for name, text in ({"func.py": files} if isinstance(files, str) else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def environment(folder: Path, **env: str) -> dict[str, str]:
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**base, "KFN_SOURCE": str(folder), "PORT": "0", "KFN_HOST": "127.0.0.1", **env}


@contextmanager
def function(folder: Path, files: str | dict[str, str], **env: str) -> Iterator[FunctionProcess]:
    """Run it until the block ends; a failed start is an AssertionError with its log."""
    write(folder, files)
    read, written = os.pipe()
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "kfn.function"],
            env=environment(folder, KFN_READY_FD=str(written), **env),
            pass_fds=(written,),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    os.close(written)
    try:
        with os.fdopen(read, "rb") as pipe:
            assert select.select([pipe], [], [], 20)[0], "not ready after 20 s"
            line = pipe.readline()
        assert line, f"it did not start:\n{log.read_text()}"
        yield FunctionProcess(process, json.loads(line), log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def failing(folder: Path, files: str | dict[str, str], **env: str) -> tuple[int, list[str]]:
    """Run a function that cannot start: its exit code and the lines of its stderr after `kfn: `."""
    write(folder, files)
    done = subprocess.run(
        [sys.executable, "-m", "kfn.function"], env=environment(folder, **env), cwd=folder, capture_output=True, timeout=20, check=False
    )
    told = re.split(r"^kfn: ", done.stderr.decode(), flags=re.MULTILINE)[-1]
    return done.returncode, told.splitlines()
