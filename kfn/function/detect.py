"""Where a function's handler may be, by name alone: the same rules for the running server and for the builder's static look.

Pure: it is given source text and answers with names; it imports nothing of the function and touches no file.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass

MODULES = ("func.py", "function/__init__.py", "handler.py", "main.py", "app.py", "asgi.py", "wsgi.py")
ATTRIBUTES = ("handle", "handler", "new", "app", "application", "main")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may hold the handler, and the names looked for in it, best first."""

    path: str  # relative to the source folder, with forward slashes
    module: str  # as it is imported
    attributes: tuple[str, ...] = ATTRIBUTES


@dataclass(frozen=True, slots=True)
class Defined:
    """What a module defines at its top level."""

    names: tuple[str, ...]  # in order of appearance: functions, classes, assigned and imported names
    handlers: tuple[str, ...]  # classes with a method `handle`
    own: tuple[str, ...] = ()  # functions and classes only, for messages

    def handler(self) -> str | None:
        """The attribute to take, or None if nothing here looks like a handler."""
        for name in ATTRIBUTES:
            if name in self.names:
                return name
        return self.handlers[-1] if self.handlers else None


def candidates() -> tuple[Candidate, ...]:
    """Every place where a handler is looked for when none is named, best first."""
    return tuple(Candidate(path, module_name(path)) for path in MODULES)


def module_name(path: str) -> str:
    """`function/__init__.py` is imported as `function`, `a/b.py` as `a.b`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def module_paths(module: str) -> tuple[str, str]:
    """The files that may hold a module, relative to the source folder."""
    stem = module.replace(".", "/")
    return f"{stem}.py", f"{stem}/__init__.py"


def find(read: Callable[[str], str | None]) -> str | None:
    """The handler as `module:attribute`, or None. `read` gives a candidate file's text, or None if it does not exist.

    A SyntaxError in a candidate is raised with the file's name, for nothing else would explain why it was not found.
    """
    for candidate in candidates():
        text = read(candidate.path)
        if text is None:
            continue
        attribute = defined(text, candidate.path).handler()
        if attribute:
            return f"{candidate.module}:{attribute}"
    return None


def defined(text: str, filename: str = "<source>") -> Defined:
    """What the module with this text defines at its top level, without running it."""
    names: list[str] = []
    handlers: list[str] = []
    own: list[str] = []
    pending = list(ast.parse(text, filename).body)
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.If | ast.Try | ast.With):
            if not _is_main_guard(node):
                pending[:0] = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
            own.append(node.name)
            if isinstance(node, ast.ClassDef) and _has_handle(node):
                handlers.append(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.extend(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.extend(target.id for target in targets if isinstance(target, ast.Name))
    return Defined(tuple(names), tuple(handlers), tuple(own))


def explain(handler: str, where: str, own: tuple[str, ...]) -> str:
    """The message for a handler that is not where it was said to be."""
    there = f"it defines: {', '.join(own)}" if own else "it defines no function or class"
    return f"handler `{handler}` not found in {where}; {there}. Set KFN_HANDLER, or `handler:` under `kfn:` in func.yaml."


def _has_handle(node: ast.ClassDef) -> bool:
    return any(isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and child.name == "handle" for child in node.body)


def _is_main_guard(node: ast.stmt) -> bool:
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
        return False
    return isinstance(node.test.left, ast.Name) and node.test.left.id == "__name__"
