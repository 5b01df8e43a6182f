"""Several listening sockets on one port (SO_REUSEPORT), among which the kernel spreads new connections: one for each worker.

They are the supervisor's and stay open when a worker ends. A socket that is closed resets the connections that nobody has accepted
from it yet (unless net.ipv4.tcp_migrate_req is set, which is not the default); these wait for the next worker, or a neighbour.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from kfn.observe import web


@contextmanager
def listening(host: str, port: int, count: int, backlog: int) -> Iterator[list[socket.socket]]:
    """`count` sockets on one port; 0 picks a free one. Raises ListenError if anybody else has it.

    The first is bound without the option, or a second supervisor of the same user would silently share the port with this one.
    """
    with ExitStack() as stack:
        first = stack.enter_context(web.listen(host, port))
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sockets = [first]
        at = first.getsockname()
        for _ in range(count - 1):
            sock = stack.enter_context(socket.socket(first.family, socket.SOCK_STREAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(at)
            except OSError as error:
                raise web.ListenError(f"cannot listen on {host}:{at[1]}: {error.strerror or error}") from error
            sockets.append(sock)
        yield sockets
