"""The graph of a Pipeline's steps: an order that respects what each needs, and the cycles that forbid one."""

from collections.abc import Mapping, Sequence


def order(needs: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Every name after the ones that it needs, otherwise in the order given; None where there is a cycle."""
    placed: dict[str, None] = {}
    left = list(needs)
    while left:
        free = next((name for name in left if all(need in placed for need in needs[name])), None)
        if free is None:
            return None
        placed[free] = None
        left.remove(free)
    return list(placed)


def cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of which each needs the next, and the last the first; empty where there is no such circle."""
    done: set[str] = set()
    for start in needs:
        path: list[str] = []
        found = _walk(start, needs, path, done)
        if found:
            return found
    return []


def _walk(name: str, needs: Mapping[str, Sequence[str]], path: list[str], done: set[str]) -> list[str]:
    """At most as deep as there are steps (64)."""
    if name in path:
        return path[path.index(name) :]
    if name in done:
        return []
    path.append(name)
    for need in needs[name]:
        if found := _walk(need, needs, path, done):
            return found
    path.pop()
    done.add(name)
    return []
