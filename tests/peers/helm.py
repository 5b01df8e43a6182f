"""The real helm, where it is on PATH or was built for the test cluster; and what the chart `deploy/chart/kfn` becomes with it."""

import functools
import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/chart/kfn"
NAMESPACE = "kfn-system"
REGISTRY = {"image": {"registry": "registry.example/team"}}

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def binary() -> str:
    """Its path. Skips the test where it is not."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # HOME may be empty in tests
    built = sorted((home / ".cache/kfn/tools").glob("helm-*/helm"))
    path = shutil.which("helm") or (str(built[-1]) if built else "")
    if not path:
        pytest.skip("helm is neither on PATH nor in ~/.cache/kfn/tools (`make cluster-up` builds it)")
    return path


def helm(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([binary(), *args], input=stdin, capture_output=True, text=True, timeout=60, check=False)


def refused(values: Mapping[str, Any]) -> str:
    """Why the chart does not take these values."""
    run = helm("template", "kfn", str(CHART), "--namespace", NAMESPACE, "--values", "-", stdin=json.dumps(values))
    assert run.returncode != 0, "these values should have been refused"
    return run.stderr


def rendered(values: Mapping[str, Any] | None = None, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """The objects of the chart, those for `helm test` included."""
    return [dict(one) for one in _rendered(json.dumps({**REGISTRY, **(values or {})}, sort_keys=True), namespace)]


@functools.cache
def _rendered(values: str, namespace: str) -> tuple[dict[str, Any], ...]:
    run = helm("template", "kfn", str(CHART), "--namespace", namespace, "--values", "-", stdin=values)
    assert run.returncode == 0, run.stderr
    return tuple(loaded(run.stdout))


def loaded(manifest: str) -> list[dict[str, Any]]:
    return [one for one in yaml.load_all(manifest, Loader=_LOADER) if one]
