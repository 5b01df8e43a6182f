"""Where the chart and the manifests lie: in the installed package, or in a checkout."""

from pathlib import Path
from typing import Any

from cli.failures import CliError

_PACKAGED = Path(__file__).with_name("data")
_CHECKOUT = Path(__file__).parents[2] / "deploy"


def folder() -> Path:
    """It has `chart/kfn` and `manifests`. Raises CliError."""
    for place in (_PACKAGED, _CHECKOUT):
        if (place / "chart" / "kfn" / "Chart.yaml").is_file():
            return place
    raise CliError("kfn's chart did not come with this installation of kfn; install it with pip, from a wheel of kfn's")


def chart() -> Path:
    return folder() / "chart" / "kfn"


def manifests(name: str) -> list[dict[str, Any]]:
    return _read(folder() / "manifests" / name)


def definitions() -> list[dict[str, Any]]:
    """The CRDs, by name."""
    return [one for path in sorted((chart() / "files" / "crds").glob("*.yaml")) for one in _read(path)]


def _read(path: Path) -> list[dict[str, Any]]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return [one for one in yaml.load_all(path.read_text("utf-8"), loader) if one]  # C where there is one
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}") from None
