"""What 4 GiB through a slow reader cost the gateway in memory: `python -m tests.benchmarks.bodies [GIB] [WAY...]`.

Three processes: an instance, the gateway, and this one, the client. In each way one side sends as fast as it can and the other reads with
pauses, so that every buffer between them is full most of the time. Told is the gateway's resident memory before, and its peak (VmHWM, set
back before each way). A proxy that collected anything would show it a thousandfold.
"""

import multiprocessing
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.benchmarks._measure import Table

MIB = 1 << 20
HOST = "hello.default.localhost"
PIECE = b"x" * (256 * 1024)
CHUNK = b"10000\r\n" + PIECE[:65536] + b"\r\n"
PAUSE_AFTER, PAUSE = 4 * MIB, 0.005  # of the reader: at most 800 MiB/s, which the sender and the gateway can do
WAYS = ("request", "request-chunked", "answer", "answer-chunked", "tunnel-request", "tunnel-answer")
MUST = 32 * MIB  # more than this would be collecting: two transports' buffers and one read on each side are under 1 MiB


class Slowly:
    """Reads a socket with pauses."""

    def __init__(self, sock: socket.socket, already: int = 0) -> None:
        self._sock = sock
        self._buffer = bytearray(512 * 1024)
        self._awake = 0
        self.size = already
        self.last = b""

    def until(self, size: int) -> None:
        while self.size < size:
            self._read()

    def until_end_of_chunks(self) -> None:
        while not self.last.endswith(b"0\r\n\r\n"):
            self._read()

    def _read(self) -> None:
        got = self._sock.recv_into(self._buffer)
        if not got:
            raise EOFError(f"the connection ended after {self.size} bytes")
        self.size += got
        self.last = (self.last + bytes(self._buffer[max(0, got - 16) : got]))[-16:]
        self._awake += got
        if self._awake > PAUSE_AFTER:
            self._awake = 0
            time.sleep(PAUSE)  # noqa: TID251 - a process without an event loop


def _head(sock: socket.socket) -> tuple[bytes, bytes]:
    """A head, and what came behind it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            raise EOFError
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _send(sock: socket.socket, size: int, *, chunked: bool) -> None:
    if chunked:
        for _ in range(size // 65536):
            sock.sendall(CHUNK)
        sock.sendall(b"0\r\n\r\n")
    else:
        for _ in range(size // len(PIECE)):
            sock.sendall(PIECE)


def _serve(sock: socket.socket) -> None:
    """The instance's side of one connection: the request's path is WAY/SIZE."""
    try:
        with sock:
            while True:
                head, rest = _head(sock)
                way, _, size_ = head.split(b" ")[1].decode().lstrip("/").partition("/")
                size = int(size_)
                if way.startswith("tunnel"):
                    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n")
                if way in ("request", "tunnel-request"):
                    Slowly(sock, len(rest)).until(size)
                elif way == "request-chunked":
                    Slowly(sock, len(rest)).until_end_of_chunks()
                elif way == "answer":
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                    _send(sock, size, chunked=False)
                elif way == "answer-chunked":
                    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    _send(sock, size, chunked=True)
                else:
                    _send(sock, size, chunked=False)
                if way == "tunnel-request":
                    sock.sendall(b"all")
                elif way.startswith("request"):
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall")
    except (EOFError, OSError):
        pass


def _instance(tell: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        tell.send(server.getsockname()[1])
        while True:
            sock, _ = server.accept()
            threading.Thread(target=_serve, args=(sock,), daemon=True).start()


def _gateway(tell: Connection, instance: int) -> None:
    import asyncio

    import uvloop

    from tests.fakes.routed import Cluster, routed

    async def main() -> None:
        cluster = Cluster()
        cluster.route()
        cluster.revision(timeout_seconds=600)
        cluster.instance(instance)
        async with routed(cluster) as gw:
            tell.send(gw.gateway.port)
            await asyncio.Event().wait()

    uvloop.run(main())


@dataclass
class Moved:
    """Bytes of resident memory, before and at most; seconds that it took."""

    before: int
    peak: int
    seconds: float


class Bench:
    def __init__(self, gateway: int, port: int) -> None:
        self._gateway = gateway
        self._port = port

    def move(self, way: str, size: int) -> Moved:
        """Raises EOFError or AssertionError if not every byte arrived."""
        Path(f"/proc/{self._gateway}/clear_refs").write_text("5")  # the peak begins anew
        before, began = self._memory("VmRSS"), time.monotonic()
        with socket.create_connection(("127.0.0.1", self._port)) as sock:
            self._talk(sock, way, size)
        return Moved(before, self._memory("VmHWM"), time.monotonic() - began)

    def _talk(self, sock: socket.socket, way: str, size: int) -> None:
        request = f"POST /{way}/{size} HTTP/1.1\r\nHost: {HOST}\r\n".encode()
        if way.startswith("tunnel"):
            sock.sendall(request + b"Connection: Upgrade\r\nUpgrade: raw\r\n\r\n")
            head, rest = _head(sock)
            assert b" 101 " in head, head
        elif way == "request":
            sock.sendall(request + b"Content-Length: %d\r\n\r\n" % size)
        elif way == "request-chunked":
            sock.sendall(request + b"Transfer-Encoding: chunked\r\n\r\n")
        else:
            sock.sendall(request + b"Content-Length: 0\r\n\r\n")
            head, rest = _head(sock)
            assert b" 200 " in head, head
        if "answer" in way:
            slowly = Slowly(sock, len(rest))
            if way == "answer-chunked":
                slowly.until_end_of_chunks()
                assert slowly.size > size
            else:
                slowly.until(size)
                assert slowly.size == size
        else:
            _send(sock, size, chunked=way == "request-chunked")
            said = b""
            while not said.endswith(b"all"):
                piece = sock.recv(1000)
                assert piece, said
                said += piece

    def _memory(self, what: str) -> int:
        lines = Path(f"/proc/{self._gateway}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def _start(target: Callable[..., None], *args: Any) -> tuple[Any, int]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *args), daemon=True)
    process.start()
    theirs.close()
    with ours:
        return process, ours.recv()


@contextmanager
def bench() -> Iterator[Bench]:
    processes = []
    try:
        instance, instance_port = _start(_instance)
        processes.append(instance)
        gateway, port = _start(_gateway, instance_port)
        processes.append(gateway)
        yield Bench(gateway.pid, port)
    finally:
        for process in processes:
            process.terminate()
            process.join()
            process.close()


def main(gib: float = 4.0, *ways: str) -> None:
    table = Table()
    size = int(gib * 1024) * MIB
    with bench() as one:
        one.move("request", 64 * MIB)  # what is imported and allocated once
        for way in ways or WAYS:
            moved = one.move(way, size)
            figure = f"peak {moved.peak / MIB:.1f} MiB, before {moved.before / MIB:.1f} MiB"
            table.add(f"{gib:g} GiB, {way}, slow reader", figure, f"+{MUST // MIB} MiB", f"{size / moved.seconds / MIB:,.0f} MiB/s")


if __name__ == "__main__":
    main(*(float(arg) for arg in sys.argv[1:2]), *sys.argv[2:])
