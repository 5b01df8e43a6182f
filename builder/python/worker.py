"""Compiles files to bytecode and looks at their names, in a process of its own. Runs none of what it reads. Standard library only.

It is a fresh process with one thread for every job because bytecode depends on what else is alive in the interpreter: only so is
it the same bytes every time. Started as a file: `python -I -S -B worker.py < job.json`. The last line of stdout is the answer;
the lines before name each file as it is begun, so that a crash can be blamed. Only the build that started it reads it.
"""

import importlib.util
import json
import marshal
import os
import resource
import sys
import warnings
from typing import Any

MEMORY = 4 << 30  # bytes of address space; a source file that needs more is an attack or an accident
UNCHECKED_HASH = (0b01).to_bytes(4, "little")  # PEP 552: never compared with the source


def main() -> None:
    job = json.load(sys.stdin)
    _limit(job["seconds"])
    warnings.simplefilter("ignore")
    answer: dict[str, Any] = {"errors": _compile_all(job)}
    if job["look"] and not answer["errors"]:
        sys.path.insert(0, job["kfn"])
        answer["modules"] = _look(job)
    print("\n" + json.dumps(answer))


def _limit(seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _compile_all(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Write unchecked-hash bytecode for every file; return what did not compile."""
    errors = []
    for path in job["files"]:
        print(path, flush=True)
        with open(os.path.join(job["root"], path), "rb") as file:
            text = file.read()
        try:
            code = compile(text, f"{job['prefix']}/{path}", "exec", dont_inherit=True, optimize=0)
            pyc = importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(text) + marshal.dumps(code)
            del code
        except SyntaxError as error:
            errors.append(_syntax_error(path, error))
            continue
        except (RecursionError, MemoryError, OverflowError, ValueError) as error:
            errors.append({"path": path, "line": 1, "column": 0, "text": "", "message": str(error) or type(error).__name__})
            continue
        folder, name = os.path.split(path)
        target = os.path.join(job["out"], folder, "__pycache__")
        os.makedirs(target, exist_ok=True)
        with open(os.path.join(target, f"{name.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc"), "wb") as file:
            file.write(pyc)
    return errors


def _syntax_error(path: str, error: SyntaxError) -> dict[str, Any]:
    return {
        "path": path,
        "line": error.lineno or 1,
        "column": error.offset or 0,
        "text": (error.text or "").rstrip("\n"),
        "message": error.msg,
    }


def _look(job: dict[str, Any]) -> dict[str, Any]:
    import ast

    from kfn.function import detect

    modules = {}
    for path in job["files"]:
        print(path, flush=True)
        with open(os.path.join(job["root"], path), "rb") as file:
            text = file.read()
        tree = ast.parse(text)
        defined = detect.defined(text.decode("utf-8", "replace") if path in job["look"] else "", path)
        stars = any(isinstance(n, ast.ImportFrom) and any(a.name == "*" for a in n.names) for n in tree.body)
        modules[path] = {
            "names": defined.names,
            "handlers": defined.handlers,
            "own": defined.own,
            "star": stars,
            "imports": _imports(tree, path),
        }
    return modules


def _imports(tree: Any, path: str) -> list[str]:
    """Modules imported when this one is: at the top level, also inside `try` and `if`, but not for type checking only."""
    import ast

    package = path.removesuffix(".py").split("/")[:-1]
    found: list[str] = []
    pending = list(tree.body)
    while pending:
        node = pending.pop(0)
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [module, *(f"{module}.{alias.name}" for alias in node.names if alias.name != "*")]
        elif isinstance(node, ast.If):
            test = ast.dump(node.test)
            if "TYPE_CHECKING" not in test and "__name__" not in test:
                pending[:0] = [*node.body, *node.orelse]
        elif isinstance(node, ast.Try):
            pending[:0] = [*node.body, *node.orelse, *node.finalbody, *(s for h in node.handlers for s in h.body)]
        elif isinstance(node, ast.With):
            pending[:0] = node.body
    return found


if __name__ == "__main__":
    main()
