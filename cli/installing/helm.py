"""helm's command lines for kfn's chart: arguments as lists, values as a file. Pure, but for where the chart lies."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.installing.customise import Wanted
from cli.installing.decide import RELEASE

NAMED = {"kfn": "image", "kfn-builder": "builds.image", "kfn-nats": "nats.image"}  # where the chart has each image


def program() -> str:
    """helm on PATH; empty: there is none."""
    return shutil.which("helm") or ""


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster, for helm's own flags."""

    namespace: str
    kubeconfig: str = ""
    context: str = ""

    @property
    def flags(self) -> list[str]:
        found = ["--namespace", self.namespace]
        found += ["--kubeconfig", self.kubeconfig] if self.kubeconfig else []
        return found + (["--kube-context", self.context] if self.context else [])


def values(given: Wanted, said: Sequence[str], nats_replicas: int, older: bool = False) -> dict[str, Any]:
    """The chart's values for what was said on the command line (`said`: names of fields); what was not stays as it is at an upgrade. But an
    `older` kfn's images, by tag or digest, are none of this one's."""
    found: dict[str, Any] = {}
    for place in NAMED.values() if older else ():
        _put(found, f"{place}.digest", "")
        _put(found, f"{place}.tag", "")
    if "domain" in said:
        found["domain"] = given.domain
    if "registry" in said:
        _put(found, "image.registry", given.registry.rstrip("/"))
    for name, reference in given.images.items():
        repository, _, digest = reference.partition("@")
        registry, _, last = repository.rpartition("/")
        base, _, tag = last.partition(":")
        for key, value in (("registry", registry), ("repository", base), ("digest", digest), ("tag", tag)):
            _put(found, f"{NAMED[name]}.{key}", value)
    if "pull_secrets" in said:
        _put(found, "image.pullSecrets", list(given.pull_secrets))
    if "service" in said:
        _put(found, "gateway.service.type", given.service)
    if nats_replicas:
        _put(found, "nats.replicas", nats_replicas)
    return found


def upgrade(chart: Path, target: Target, *, dry_run: bool = False) -> list[str]:
    """Install or upgrade; values of before that are not given anew stay, over the new chart's own. Files and sets of values come behind."""
    argv = ["upgrade", "--install", RELEASE, str(chart), *target.flags, "--reset-then-reuse-values"]
    return [*argv, "--dry-run=server", "--hide-secret"] if dry_run else argv


def uninstall(target: Target, timeout: float) -> list[str]:
    return ["uninstall", RELEASE, *target.flags, "--ignore-not-found", "--wait", "--timeout", f"{timeout:.0f}s"]


def _put(tree: dict[str, Any], place: str, value: Any) -> None:
    *parts, last = place.split(".")
    for part in parts:
        tree = tree.setdefault(part, {})
    tree[last] = value
