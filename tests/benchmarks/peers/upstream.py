"""The instance behind every proxy in the gateway's benchmark: answers from memory, and reads a request's body before it answers.

    python -m tests.benchmarks.peers.upstream

It prints its port. `GET /N` is answered with N bytes, and with a head of its own if there is a query; `POST` with none once Content-Length
bytes have come. It is a bare protocol on uvloop, about 8 µs of CPU a request: cheaper than nginx or Go would be here, so that it is not
what limits a proxy.
"""

import asyncio
import re
from typing import cast

import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: bare\r\nContent-Length: %d\r\n\r\n"
VARIED = HEAD.replace(b"Server: bare", b"X-Turn: %b")
EMPTY = HEAD % 0
answers: dict[bytes, bytes] = {}  # by target


class Upstream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.head = b""  # as far as it has come
        self.left = 0  # bytes of the body that are still to come

    def data_received(self, data: bytes) -> None:
        if not self.left:
            if self.head:
                data = self.head + data
            end = data.find(b"\r\n\r\n") + 4
            if end == 3:
                self.head = data
                return
            self.head = b""
            if data.startswith(b"GET /"):
                target = data[4 : data.index(b" ", 4)]
                answer = answers.get(target)
                if answer is None:
                    size, _, turn = target[1:].partition(b"?")
                    head = VARIED % (turn, int(size)) if turn else HEAD % int(size)
                    answer = answers[target] = head + b"x" * int(size)
                self.transport.write(answer)
                return
            found = LENGTH.search(data, 0, end)
            assert found is not None, data[:end]
            self.left = end + int(found[1])
        self.left -= len(data)
        if not self.left:
            self.transport.write(EMPTY)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
