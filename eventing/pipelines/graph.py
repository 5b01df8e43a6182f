"""The part of a plan that decides what runs when: steps, what they need, and how a join counts. Pure."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Need:
    """`optional`: that the step was skipped, or failed, is no obstacle."""

    step: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Join:
    """`any`: the first that succeeds is enough. `window` seconds after the first has ended, what is not there is missing; 0 is no limit.
    `min_success` is the part of all that is needed (calls and items of maps) that must have succeeded."""

    any: bool = False
    window: float = 0.0
    min_success: float = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """`mapped` steps are called once for each item of a list, `in_flight` at a time."""

    name: str
    needs: tuple[Need, ...] = ()
    mapped: bool = False
    in_flight: int = 64
    join: Join = Join()

    def tolerates(self, step: str) -> bool:
        """Whether it can begin though that step, or an item of it, has failed."""
        return self.join.any or self.join.min_success < 1 or any(need.step == step and need.optional for need in self.needs)


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
        """Whether all that need this step can do without it, and there is one."""
        after = self.after[step]
        return bool(after) and all(node.tolerates(step) for node in after)

    def onwards(self, step: str) -> frozenset[str]:
        """The step and all that depend on it."""
        found = {step}
        for node in self.nodes:
            if any(need.step in found for need in node.needs):
                found.add(node.name)
        return frozenset(found)
