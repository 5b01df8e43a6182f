"""What a .gitignore keeps out of the image although the function may need it: build output, model weights, modules. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LARGE = 10_000_000  # bytes: model weights and build output, not somebody's notes
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One entry, a folder with a slash at its end. It has at least `size` bytes."""

    path: str
    size: int


def large(left_out: Sequence[LeftOut]) -> list[str]:
    """A warning for what is so large that it may be what the function works with."""
    found = sorted((one for one in left_out if one.size >= LARGE), key=lambda one: -one.size)
    if not found:
        return []
    some = ", ".join(f"{one.path} ({one.size / 1e6:.0f} MB{' or more' if one.path.endswith('/') else ''})" for one in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    path = found[0].path
    return [
        f"left out by .gitignore: {some}{more}. If the function needs it, write !{path} in .kfnignore; "
        f"if not, /{path} there ends this warning"
    ]


def modules(left_out: Sequence[LeftOut], imports: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """A warning for each module of the source that is imported by a file in the image, and kept out of it."""
    out = {one.path for one in left_out}
    found: dict[str, str] = {}
    if out:
        for file, wanted in sorted(imports.items()):
            for module in wanted:
                if path := _path(module, out):
                    found.setdefault(path, file)
    return tuple(
        f"{file} imports {path}, which .gitignore keeps out of the image; write !{path} in .kfnignore" for path, file in found.items()
    )


def handler(left_out: Sequence[LeftOut], looked_for: Iterable[str]) -> str:
    """What to add to the message that there is no handler, if a file that could hold it is kept out."""
    out = {one.path for one in left_out}
    for file in looked_for:
        parts = file.split("/")
        for path in (file, *("/".join(parts[:n]) + "/" for n in range(1, len(parts)))):
            if path in out:
                return f"{path} is there, but .gitignore keeps it out of the image; write !{path} in .kfnignore"
    return ""


def _path(module: str, out: set[str]) -> str:
    parts = module.split(".")
    for n in range(1, len(parts) + 1):
        stem = "/".join(parts[:n])
        for path in (f"{stem}/", f"{stem}.py", f"{stem}/__init__.py"):
            if path in out:
                return path
    return ""
