"""The two ways in which Knative writes durations: Go's (`1h30m`, in annotations) and ISO-8601's (`PT0.2S`, in delivery specs)."""

import re

_GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_GO_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|μs|ns)")
_ISO = re.compile(
    r"P(?:(?P<w>\d+(?:\.\d+)?)W|(?:(?P<d>\d+(?:\.\d+)?)D)?(?:T(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?)"
)
_ISO_UNITS = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


class BadDuration(ValueError):
    """The text is not a duration in the form that is expected here."""


def parse_go(text: str) -> float:
    """Seconds of a Go duration, such as `60s`, `1h30m`, `-1.5h` or `0`."""
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    seconds, at = 0.0, 0
    while at < len(rest):
        part = _GO_PART.match(rest, at)
        if part is None:
            break
        seconds += float(part[1]) * _GO_UNITS[part[2]]
        at = part.end()
    if not rest or at != len(rest):
        raise BadDuration(f"{text!r} is not a duration; write a number with a unit, such as 60s, 1m30s or 2h")
    return sign * seconds


def parse_iso(text: str) -> float:
    """Seconds of an ISO-8601 duration of weeks, days and smaller, such as `PT10S`, `PT0.2S` or `P1DT2H`.

    Years and months have no fixed length, so they are refused.
    """
    match = _ISO.fullmatch(text)
    found = {k: v for k, v in match.groupdict().items() if v is not None} if match else {}
    if not found or text.endswith("T"):
        raise BadDuration(f"{text!r} is not an ISO-8601 duration; write for example PT0.2S, PT30S or PT5M")
    return sum(float(value) * _ISO_UNITS[unit] for unit, value in found.items())
