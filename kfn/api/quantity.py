"""Kubernetes quantities, such as `500m`, `1.5Gi` or `2`: text to number."""

import re

_FORM = re.compile(r"(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_SUFFIX = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_SUFFIX |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", start=1)}


class BadQuantity(ValueError):
    """The text is not a quantity."""


def parse(value: str | int | float) -> float:
    """The number that a quantity means: cores, bytes or things. It is never negative."""
    match = _FORM.fullmatch(str(value))
    if match is None or match["number"].startswith("-"):
        raise BadQuantity(f"{value!r} is not a quantity; write for example 500m, 2, 128Mi or 1.5Gi")
    suffix = match["suffix"] or ""
    factor = _SUFFIX[suffix] if suffix in _SUFFIX else float(f"1{suffix}" if suffix else 1)
    return float(match["number"]) * factor
