"""What clusters change on the host itself, noted down when the first one starts and put back when the last one goes.

Empty folders on which nodes mount their own, IPv4 forwarding, room for inotify, and the kernel settings that every kubelet sets.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.layout import cache_folder

_KUBELETS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys",
             "kernel/keys/root_maxbytes")  # fmt: skip
# One cluster takes 20 inotify instances of the 128 that a user has by default; without them a kubelet does not start.
_RAISED = {"net/ipv4/ip_forward": 1, "fs/inotify/max_user_instances": 4096, "fs/inotify/max_user_watches": 524288}


def _note() -> Path:
    return cache_folder() / "clusters" / ".host.json"


@contextmanager
def locked(name: str = "") -> Iterator[None]:
    """One `up` or `down` of a cluster at a time; without a name, one change of the machine's network and settings at a time."""
    folder = cache_folder() / "clusters"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{name or 'host'}.lock"
    while True:
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
                continue  # it went while we waited, with the cluster
            yield
            return


def forget(name: str) -> None:
    """The lock of a cluster that is gone, by who holds it."""
    (cache_folder() / "clusters" / f".{name}.lock").unlink(missing_ok=True)


def _read() -> dict[str, dict[str, str]]:
    return json.loads(_note().read_text()) if _note().exists() else {"settings": {}, "folders": {}}


def _write(noted: dict[str, dict[str, str]]) -> None:
    draft = _note().with_suffix(".new")
    draft.write_text(json.dumps(noted))
    draft.replace(_note())


def prepare() -> None:
    noted = _read()
    now = {name: Path("/proc/sys", name).read_text().strip() for name in (*_KUBELETS, *_RAISED)}
    noted["settings"] = {**now, **noted["settings"]}
    _write(noted)
    for name, wanted in _RAISED.items():
        if int(now[name]) < wanted:
            Path("/proc/sys", name).write_text(str(wanted))


def make_folder(path: Path) -> None:
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    if made:
        noted = _read()
        noted["folders"].update({str(folder): "" for folder in made})
        _write(noted)
        path.mkdir(parents=True)


def restore() -> None:
    """By the last cluster only: to remove a folder takes away what another cluster has mounted on it, even in its own namespace."""
    if any(folder.is_dir() and not folder.name.startswith(".") for folder in _note().parent.iterdir()):
        return
    noted = _read()
    for name, value in noted["settings"].items():
        Path("/proc/sys", name).write_text(value)
    for folder in sorted(noted["folders"], key=len, reverse=True):
        try:
            Path(folder).rmdir()
        except OSError:  # somebody uses it by now
            continue
    _note().unlink(missing_ok=True)
