"""Which handler a source has, from what its modules define. Pure: the source is neither run nor read here."""

import difflib
from collections.abc import Mapping

from builder.errors import HandlerNotFound
from builder.python.compiling import Module
from kfn.function import detect


def choose(wanted: str, modules: Mapping[str, Module]) -> str:
    """The handler as `module:attribute`. `wanted` comes from func.yaml, empty means: look for it. `modules` is keyed by path."""
    return _named(wanted, modules) if wanted else _found(modules)


def files_to_look_at(wanted: str) -> tuple[str, ...]:
    """The files whose names `choose` needs."""
    module = wanted.partition(":")[0]
    return tuple(c.path for c in detect.candidates()) + (detect.module_paths(module) if module else ())


def _named(wanted: str, modules: Mapping[str, Module]) -> str:
    module, _, attribute = wanted.partition(":")
    paths = detect.module_paths(module)
    path = next((p for p in paths if p in modules), None)
    if path is None:
        known = sorted(detect.module_name(p) for p in modules)
        near = difflib.get_close_matches(module, known, n=1, cutoff=0.5)
        hint = f"did you mean `handler: {near[0]}:{attribute}`?" if near else f"there are {', '.join(known[:10]) or 'no Python files'}."
        raise HandlerNotFound(f"`{wanted}` needs {' or '.join(paths)}, and neither is there; {hint}")
    found = modules[path]
    if attribute in found.names or found.star:
        return wanted
    near = difflib.get_close_matches(attribute, found.names, n=1, cutoff=0.5)
    best = near[0] if near else _best(found)
    fix = f"; did you mean `handler: {module}:{best}` under `kfn:` in func.yaml?" if best else ""
    raise HandlerNotFound(f"{path} does not define `{attribute}`; it defines {', '.join(found.own) or 'no function or class'}{fix}")


def _found(modules: Mapping[str, Module]) -> str:
    for candidate in detect.candidates():
        if found := modules.get(candidate.path):
            attribute = detect.Defined(found.names, found.handlers, found.own).handler()
            if attribute:
                return f"{candidate.module}:{attribute}"
    looked = f"looked for {', '.join(detect.ATTRIBUTES)} or a class with a method `handle` in {', '.join(detect.MODULES)}"
    present = [(path, modules[path].own) for path in detect.MODULES if path in modules]
    present += [(path, modules[path].own) for path in sorted(modules) if path not in detect.MODULES][:5]
    if not present:
        raise HandlerNotFound(f"{looked}; there are no Python files. Write func.py with `def handle(request): return 'hello'`")
    lines = "".join(f"\n  {path}: {', '.join(own) or 'no function or class'}" for path, own in present)
    raise HandlerNotFound(f"{looked}. These files are there:{lines}\n{_fix(present)}")


def _fix(present: list[tuple[str, tuple[str, ...]]]) -> str:
    pairs = {name: path for path, own in reversed(present) for name in own}
    near = next(((a, m[0]) for a in detect.ATTRIBUTES if (m := difflib.get_close_matches(a, pairs, n=1, cutoff=0.7))), None)
    if near is None:
        return f"Add `def handle(request): return 'hello'` to {present[0][0]}, or name the handler under `kfn:` in func.yaml"
    wanted, have = near
    line = f"kfn: {{handler: {detect.module_name(pairs[have])}:{have}}}"
    return f"Did you mean {wanted}? Rename {have} in {pairs[have]}, or write `{line}` in func.yaml"


def _best(module: Module) -> str:
    return detect.Defined(module.names, module.handlers, module.own).handler() or (module.own[0] if module.own else "")
