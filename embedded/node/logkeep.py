"""Decides which log folders of pods that are gone stay readable, and removes the others."""

import shutil
from collections.abc import Set
from pathlib import Path


def tidy(logs: Path, present: Set[tuple[str, str]], kept: int) -> None:
    """Keep the folders of `present` pods (namespace, name) and of the last `kept` others of each revision. Blocks."""
    gone: dict[tuple[str, str], list[Path]] = {}
    for folder in logs.glob("*/*"):
        namespace, pod = folder.parent.name, folder.name
        if (namespace, pod) not in present:
            gone.setdefault((namespace, pod.rpartition("-")[0]), []).append(folder)
    for folders in gone.values():
        for folder in sorted(folders, key=_age, reverse=True)[kept:]:
            shutil.rmtree(folder, ignore_errors=True)


def _age(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
