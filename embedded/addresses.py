"""The ports of one platform, the same after every start, because other people write them down: a Broker's address in a
function's settings, the API server's in a copied kubeconfig. A port that somebody else took meanwhile is given up."""

import json
from pathlib import Path

from embedded.datadir import write_private
from embedded.node.ports import Ports, is_free

HOST = "127.0.0.1"
NAMES = ("api", "events", "admin")


def remembered(data: Path) -> dict[str, int]:
    """A port for each of NAMES: the one of the last start if it is free, else a new one; written down again if any is new."""
    file = data / "ports.json"
    try:
        before = json.loads(file.read_text())
        last = {name: int(before[name]) for name in NAMES if name in before}
    except (OSError, ValueError, TypeError):
        last = {}
    fresh = Ports(HOST)
    chosen = {name: last[name] if name in last and is_free(HOST, last[name]) else fresh.take() for name in NAMES}
    if chosen != last:
        write_private(file, json.dumps(chosen) + "\n")
    return chosen
