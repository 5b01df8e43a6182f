"""One page of metrics out of several workers' pages: counts add up, and what ended workers had counted stays. Pure.

A worker is no thing that an operator asks about, and a label for it would multiply every series; so the page looks as if one process
did it all. Gauges add up too, but for those that every worker sees alike, or of which the first or the last counts.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import add
from typing import Any

# What all workers see of the same thing, or since when.
MOST = frozenset({
    "kfn_gateway_instances", "kfn_gateway_revision_info", "kfn_gateway_hosts", "kfn_gateway_revisions",
    "kfn_gateway_routes_changed_timestamp_seconds", "kfn_gateway_api_stale_seconds",
})  # fmt: skip
# What is so only if it is so everywhere.
LEAST = frozenset({
    "kfn_gateway_ready", "kfn_gateway_autoscaler_connected", "kfn_gateway_slots_valid", "kfn_gateway_certificate_expiry_seconds",
    "process_start_time_seconds", "process_max_fds",
})  # fmt: skip
# What each has of its own. A gauge that is in none of the three is added up too; a test asks for a decision.
ALL = frozenset({
    "kfn_gateway_active_requests", "kfn_gateway_waiting_requests", "kfn_gateway_requests_in_line", "kfn_gateway_client_connections",
    "kfn_gateway_upstream_connections", "kfn_gateway_waiting_body_bytes", "kfn_gateway_waiting_body_limit_bytes", "kfn_gateway_slots",
    "kfn_gateway_workers", "kfn_gateway_waiting_events",
})  # fmt: skip


@dataclass(slots=True)
class Family:
    help: str
    kind: str
    samples: dict[str, float] = field(default_factory=dict)  # by name and labels, as they are written


class Page:
    """Families in the order in which they came."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def add(self, text: str, *, counted: bool = False) -> None:
        """Add another page to it; with `counted` only what never goes down, because what it was of has ended."""
        help_line, family, how = "", Family("", "untyped"), _how("", "")
        for line in text.splitlines():
            if line.startswith("# HELP "):
                help_line = line
            elif line.startswith("# TYPE "):
                name, _, kind = line[7:].partition(" ")
                family = self._family(name, help_line, kind) if not counted or kind in ("counter", "histogram") else Family("", kind)
                how = _how(name, kind)
            elif line and not line.startswith("#"):
                key, _, value = line.rpartition(" ")
                before = family.samples.get(key)
                family.samples[key] = float(value) if before is None else how(before, float(value))

    def join(self, other: "Page") -> None:
        for name, family in other._families.items():
            mine = self._family(name, family.help, family.kind)
            how = _how(name, family.kind)
            for key, value in family.samples.items():
                mine.samples[key] = how(mine.samples[key], value) if key in mine.samples else value

    def text(self) -> str:
        out: list[str] = []
        for name, family in self._families.items():
            out.append(family.help)
            out.append(f"# TYPE {name} {family.kind}")
            out += [f"{key} {_written(value)}" for key, value in family.samples.items()]
        return "\n".join([*out, ""])

    def _family(self, name: str, help_line: str, kind: str) -> Family:
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = Family(help_line or f"# HELP {name}", kind)
        return family


def cold_starts(found: Iterable[Mapping[str, list[dict[str, Any]]]], most: int) -> dict[str, list[dict[str, Any]]]:
    """The last of each revision, oldest first."""
    together: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        for revision, starts in one.items():
            together.setdefault(revision, []).extend(starts)
    return {revision: sorted(starts, key=lambda start: start["at"])[-most:] for revision, starts in together.items()}


def _how(name: str, kind: str) -> Callable[[float, float], float]:
    if kind == "gauge" and name in MOST:
        return max
    if kind == "gauge" and name in LEAST:
        return min
    return add


def _written(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
