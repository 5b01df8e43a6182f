"""The ports of one platform, the same after every start, because other people write them down: a Broker's address in a
function's settings, the API server's in a copied kubeconfig. They are listened on at once, so that nobody takes one between
the choice and its use; one that somebody else took since the last start is given up."""

import itertools
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from embedded.datadir import write_private
from embedded.node.ports import Ports
from kfn.observe.web import ListenError, listen

HOST = "127.0.0.1"
NAMES = ("api", "events", "admin")
ATTEMPTS = 100


@contextmanager
def claimed(data: Path) -> Iterator[dict[str, socket.socket]]:
    """A listening socket for each of NAMES, on the port of the last start if that is free. Raises ListenError."""
    file = data / "ports.json"
    last = _read(file)
    with ExitStack() as stack:
        sockets = {name: stack.enter_context(_claim(last.get(name, 0))) for name in NAMES}
        ports = {name: port(sock) for name, sock in sockets.items()}
        if ports != last:
            write_private(file, json.dumps(ports) + "\n")
        yield sockets


def port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def _read(file: Path) -> dict[str, int]:
    try:
        before = json.loads(file.read_text())
        return {name: int(before[name]) for name in NAMES if name in before}
    except (OSError, ValueError, TypeError):
        return {}


def _claim(wanted: int) -> socket.socket:
    ports = Ports(HOST)
    candidates = itertools.chain([wanted] if 0 < wanted < 65536 else [], (ports.take() for _ in range(ATTEMPTS)))
    refused: Exception | None = None
    for candidate in candidates:
        try:
            sock = listen(HOST, candidate)
        except ListenError as error:
            refused = error
            continue
        try:
            sock.listen()  # two sockets may be bound to a port, only one may listen
        except OSError as error:
            sock.close()
            refused = error
            continue
        return sock
    raise ListenError(f"no free port on {HOST} after {ATTEMPTS} attempts: {refused}")
