"""Unix times as text, remembered for a second."""

from time import gmtime, strftime

_second: tuple[int, str] = (0, "")


def rfc3339(now: float) -> str:
    """Unix time as RFC 3339 in UTC, with milliseconds."""
    global _second
    second = int(now)
    if _second[0] != second:
        _second = (second, strftime("%Y-%m-%dT%H:%M:%S", gmtime(second)))
    return f"{_second[1]}.{int((now - second) * 1000):03d}Z"
