"""What a nats-server needs for the platform's accounts: lines of its configuration, and a store that is the platform account's."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from kfn.busauth import platform
from kfn.busauth.keys import Keys

log = logging.getLogger(__name__)

EVERYBODY = "$G"  # the account of a server that knows none, where kfn's streams were before there were accounts


def configuration(keys: Keys, folder: Path, now: int) -> str:
    """`folder` is where the server keeps the accounts it is told of, namespaces' among them. Ends with a line's end."""
    known = "\n".join(f"  {key}: {json.dumps(claim)}" for key, claim in platform.accounts(keys, now).items())
    return f"""operator: {json.dumps(platform.operator(keys, now))}
system_account: {keys.system.public}
resolver {{ type: full, dir: {json.dumps(str(folder))}, allow_delete: true, interval: "2m" }}
resolver_preload {{
{known}
}}
"""


@dataclass(frozen=True, slots=True)
class Adopted:
    """Streams that are the platform account's now, and such as could not become so: it has others of their names."""

    moved: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class ClusteredStore(Exception):
    """The streams belong to servers of a cluster, which have noted of which account they are."""


def adopt(store: Path, keys: Keys) -> Adopted:
    """Make streams of `store`, a server's `store_dir`, the platform account's, if they are still of another: of the one of servers without
    accounts, or of a platform whose secret was another. No server may run on it. Each stream is one rename, so that nothing is half done
    whenever this ends; and the server asks for nothing but the folder's name. Raises `ClusteredStore`.
    """
    own = store / "jetstream" / keys.platform.public / "streams"
    moved, left = [], []
    others = sorted(_others(store / "jetstream", keys.platform.public))
    if others and any(store.glob("jetstream/*/_js_/_meta_")):
        raise ClusteredStore(f"{store}: these streams are kept by several servers, and cannot become another account's")
    for other in others:
        for stream in sorted((other / "streams").iterdir()):
            if (own / stream.name).exists():
                left.append(stream.name)
                continue
            own.mkdir(parents=True, exist_ok=True, mode=0o700)
            stream.rename(own / stream.name)
            moved.append(stream.name)
    if moved:
        log.info("%d streams of %s are the platform account's now", len(moved), store)
    for name in left:
        log.error(
            "stream %s of %s was left in another account: the platform has one of that name. Its events are not delivered", name, store
        )
    return Adopted(tuple(moved), tuple(left))


def _others(accounts: Path, own: str) -> list[Path]:
    if not accounts.is_dir():
        return []
    return [
        path
        for path in accounts.iterdir()
        if (path / "streams").is_dir()
        and (path.name == EVERYBODY or (len(path.name) == len(own) and path.name[0] == "A"))
        and path.name != own
    ]
