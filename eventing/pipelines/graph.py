"""The part of a plan that decides what runs when: steps, what they need, and how a join counts. Pure."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Need:
    """`optional`: that the step has no output is no obstacle."""

    step: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Join:
    """`any`: the first that succeeds is enough. `window` seconds after the first has ended, what is not there is missing; None is no limit.
    `min_success` is the share of the needs, and of each map's items, that must have succeeded."""

    any: bool = False
    window: float | None = None
    min_success: float = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """`mapped` steps are called once for each item of a list, `in_flight` at a time. `goes_on`: the run does when it, or an item, fails."""

    name: str
    needs: tuple[Need, ...] = ()
    mapped: bool = False
    in_flight: int = 64
    join: Join = Join()
    goes_on: bool = False

    @property
    def tolerates(self) -> bool:
        """Whether it can begin though something that it needs has failed."""
        return self.join.any or self.join.min_success < 1


@dataclass(frozen=True)
class Graph:
    """`nodes` stand after all that they need. `timeout` (seconds) is a run's."""

    nodes: tuple[Node, ...]
    timeout: float = 3600.0

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def after(self) -> dict[str, tuple[Node, ...]]:
        """Who needs a step directly."""
        return {n.name: tuple(m for m in self.nodes if any(need.step == n.name for need in m.needs)) for n in self.nodes}

    def tolerated(self, step: str) -> bool:
        """Whether the run goes on when it fails: it is said so, or all that need it can do without it, and there is one."""
        after = self.after[step]
        return self.by_name[step].goes_on or (bool(after) and all(node.tolerates for node in after))

    def onwards(self, step: str) -> frozenset[str]:
        """The step and all that depend on it."""
        found = {step}
        for node in self.nodes:
            if any(need.step in found for need in node.needs):
                found.add(node.name)
        return frozenset(found)
