"""Decides which log folders of pods that are gone stay readable, and removes the others."""

import math
import shutil
import time
from collections.abc import Set
from pathlib import Path


def tidy(
    logs: Path, present: Set[tuple[str, str]], kept: int, deployments: Set[tuple[str, str]] = frozenset(), orphaned: float = math.inf
) -> None:
    """Keep the folders of `present` pods (namespace, name) and of the last `kept` others of each revision; those of one that is not
    among `deployments` any more for `orphaned` seconds. Blocks."""
    gone: dict[tuple[str, str], list[Path]] = {}
    for folder in logs.glob("*/*"):
        namespace, pod = folder.parent.name, folder.name
        if (namespace, pod) not in present:
            gone.setdefault((namespace, pod.rpartition("-")[0]), []).append(folder)
    oldest = time.time() - orphaned
    for owner, folders in gone.items():
        newest = sorted(folders, key=_changed, reverse=True)
        for i, folder in enumerate(newest):
            if i >= kept or (owner not in deployments and _changed(folder) < oldest):
                shutil.rmtree(folder, ignore_errors=True)


def _changed(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
