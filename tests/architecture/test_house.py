"""Rules of the house that a linter does not know: what files look like and what an import may bring with it."""

import ast
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("kfn", "gateway", "autoscaler", "controller", "builder", "eventing", "embedded", "cli")
FILES = sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py"))

MAX_LINES = 400
MAX_FUNCTION_LINES = 60
ONE_PASS = {("gateway/heads.py", "request"): "one pass over every request's header fields; calls would cost more than they explain"}

# Importing these takes milliseconds that every cold start and every command line would pay.
HEAVY = {"asyncio", "concurrent", "email", "http", "inspect", "logging", "ssl", "typing_extensions", "unittest", "urllib", "xml"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported_by(statement: str) -> set[str]:
    """The modules that one statement loads in a fresh interpreter, beside those that the interpreter loads anyway."""
    code = f"import sys; before = set(sys.modules)\n{statement}\nloaded = set(sys.modules) - before\nprint(*sorted(loaded))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def imports(body: list[ast.stmt]) -> list[tuple[int, str]]:
    """The modules that a file imports when it is itself imported, with their lines."""
    found: list[tuple[int, str]] = []
    for node in body:
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.lineno, node.module or ""))
        elif isinstance(node, ast.If | ast.Try):
            found += imports([*node.body, *node.orelse])
    return found


@pytest.mark.parametrize("path", FILES, ids=name)
class TestEveryFile:
    def test_says_what_it_does(self, path: Path) -> None:
        docstring = ast.get_docstring(ast.parse(path.read_text()))
        assert docstring, f"{name(path)} has no docstring: say in 1 to 5 lines what it does and what it leaves to whom"

    def test_is_short_enough_to_read(self, path: Path) -> None:
        lines = len(path.read_text().splitlines())
        assert lines <= MAX_LINES, f"{name(path)} has {lines} lines: split it by behaviour"

    def test_has_no_function_that_does_not_fit_on_a_screen(self, path: Path) -> None:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (name(path), node.name) not in ONE_PASS:
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= MAX_FUNCTION_LINES, f"{name(path)}:{node.lineno} {node.name} has {lines} lines: split it"


class TestImports:
    def test_importing_kfn_brings_nothing_heavy(self) -> None:
        loaded = imported_by("import kfn")
        roots = {m.split(".")[0] for m in loaded}
        assert roots <= {*sys.stdlib_module_names, "kfn"}, "import kfn loads a library"
        assert not roots & HEAVY, "import kfn loads slow parts of the standard library: import them where they are used"
        assert len(loaded) <= 40

    def test_names_bring_nothing_to_a_command_that_needs_one_of_them(self) -> None:
        assert imported_by("import kfn.api.names") - imported_by("import kfn") == {"kfn.api", "kfn.api.names"}

    def test_a_build_brings_only_the_language_and_the_parts_of_httpx_that_it_uses(self) -> None:
        loaded = imported_by("import builder.app, builder.base.own, kfn.lighthttp; kfn.lighthttp.prepare()")
        unused = {
            "h2",
            "hpack",
            "rich",
            "yaml",
            "cryptography",
            "builder.debian.suites",
            "builder.golang",
            "builder.node",
            "builder.dockerfile",
        }
        assert "httpx" in loaded
        assert not unused & set(loaded), "import them where they are used: each costs every build 5 to 60 ms"

    def test_a_function_runs_on_the_standard_library_and_httptools(self) -> None:
        allowed = {*sys.stdlib_module_names, "kfn", "httptools"}
        for path in (p for p in FILES if name(p).startswith("kfn/function/")):
            for line, module in imports(ast.parse(path.read_text()).body):
                assert module.split(".")[0] in allowed, f"{name(path)}:{line} imports {module}"

    def test_decisions_read_no_clock_and_do_no_io(self) -> None:
        forbidden = {"anyio", "asyncio", "httpx", "logging", "os", "random", "socket", "time"}
        deciding = [
            p for p in FILES if p.name in ("decide.py", "windows.py", "policy.py", "plan.py", "match.py", "retry.py", "conditions.py")
        ]
        assert deciding
        for path in deciding:
            for line, module in imports(ast.parse(path.read_text()).body):
                assert module.split(".")[0] not in forbidden, f"{name(path)}:{line} imports {module}"


def test_a_file_that_says_it_is_pure_is_held_to_it() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    held = [name for one in contracts if one["type"] == "forbidden" for name in one["source_modules"]]
    say = [path for path in FILES if re.search(r"(^|[.:;] )Pure[.:;,]", ast.get_docstring(ast.parse(path.read_text())) or "")]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in say]
    left = [one for one in modules if not any(fnmatch(one, name) or one.startswith(f"{name}.") for name in held)]
    assert len(modules) > 20
    assert not left, f"{', '.join(left)}: add to pyproject.toml's import-linter contract, or do not say so"
