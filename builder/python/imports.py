"""Which installed packages a handler imports when it starts: what a warm parent may import ahead of it. Pure."""

from collections.abc import Mapping, Sequence, Set

from kfn.function import detect


def preload(handler: str, imports: Mapping[str, Sequence[str]], installed: Set[str]) -> tuple[str, ...]:
    """Top-level packages out of `installed` that the handler's module imports, directly or through the source's other modules.

    `imports` has what each file of the source imports, by its path.
    Only imports that run at import time count, and never the source's own modules: two functions may share a warm parent.
    """
    own = {detect.module_name(path): path for path in imports}
    seen: set[str] = set()
    found: set[str] = set()
    pending = [handler.partition(":")[0]]
    while pending:
        name = pending.pop()
        parents = [name.rsplit(".", n)[0] for n in range(name.count("."), -1, -1)]
        if parents[0] not in own and not any(known.startswith(f"{parents[0]}.") for known in own):
            if parents[0] in installed:
                found.add(parents[0])
            continue
        for module in parents:
            if module in own and module not in seen:
                seen.add(module)
                pending += imports[own[module]]
    return tuple(sorted(found))
