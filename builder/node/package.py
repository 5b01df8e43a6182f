"""package.json: how the function starts, and what it depends on. Pure: it is given texts and names, and starts no shell.

A start command is taken only if it is plain: a program and its arguments, variables in front of it at most.
"""

import difflib
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from builder.errors import HandlerNotFound, ProjectInvalid

FILE = "package.json"
ENTRIES = ("index.js", "server.js", "index.mjs", "server.mjs", "index.cjs", "server.cjs", "app.js", "main.js")
SCRIPTS = (".js", ".mjs", ".cjs")
_SHELL = re.compile(r"[|&;<>()$`*?{}\[\]~#!\n\\]")
_VARIABLE = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_TAKES_VALUE = ("-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions")  # of node's options
_RUNNERS = ("npm", "npx", "yarn", "pnpm", "bun", "sh", "bash")  # what they would start is not said here
_KINDS = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")


@dataclass(frozen=True, slots=True)
class Package:
    """What a build needs of package.json."""

    content: Mapping[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, str]:
        found = self.content.get(kind) or {}
        return {str(name): str(wanted) for name, wanted in found.items()} if isinstance(found, dict) else {}

    @property
    def wanted(self) -> dict[str, str]:
        """Every dependency with its range; an optional one counts before one of another kind, as npm has it."""
        return {name: wanted for kind in _KINDS for name, wanted in self.of(kind).items()} | self.of("optionalDependencies")

    @property
    def needs_install(self) -> bool:
        return bool(
            self.of("dependencies") or self.of("optionalDependencies") or self.of("peerDependencies") or self.content.get("workspaces")
        )

    @property
    def module(self) -> bool:
        return self.content.get("type") == "module"


@dataclass(frozen=True, slots=True)
class Start:
    """`words` run in the source's folder. `script` is the file of the source that node reads first, if there is one to name.

    `program` is the name in node_modules/.bin that starts it, if it is not node itself.
    """

    words: tuple[str, ...]
    script: str = ""
    program: str = ""
    env: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


def parse(text: str, file: str = FILE) -> Package:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ProjectInvalid(f"{file}:{error.lineno}:{error.colno}: {error.msg}") from None
    except RecursionError:
        raise ProjectInvalid(f"{file} is nested too deeply") from None
    if not isinstance(content, dict):
        raise ProjectInvalid(f"{file} must hold an object, not a {type(content).__name__}")
    return Package(content)


def start(package: Package, handler: str, has: Callable[[str], bool], names: tuple[str, ...]) -> Start:
    """How to start: `handler` (kfn.handler), scripts.start, main, or a file with a usual name.

    `has` answers whether the source has a file, `names` are some of them, to show. Raises HandlerNotFound.
    """
    if handler:
        return _file("kfn.handler", handler, has, names)
    scripts = package.content.get("scripts")
    warnings: tuple[str, ...] = ()
    line = scripts.get("start") if isinstance(scripts, dict) else None
    if isinstance(line, str) and line.strip():
        found = _command(line, has, names)
        if found:
            return found
        warnings = (f"{FILE}: scripts.start, {line!r}, needs a shell or another tool and is not used; name the script in kfn.handler",)
    main = package.content.get("main")
    if isinstance(main, str) and main:
        chosen = _file(f"{FILE}: main", main, has, names)
    else:
        entry = next((name for name in ENTRIES if has(name)), None)
        if entry is None:
            raise HandlerNotFound(
                f"{FILE} has no scripts.start and no main, and there is none of {', '.join(ENTRIES)}. There are "
                f"{', '.join(names[:8]) or 'no files'}; name the script in func.yaml, for example kfn: {{handler: ./server.js}}"
            )
        chosen = Start(("node", entry), entry)
    return Start(chosen.words, chosen.script, warnings=warnings)


def _command(line: str, has: Callable[[str], bool], names: tuple[str, ...]) -> Start | None:
    """None: this is for a shell."""
    if _SHELL.search(line):
        return None
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    env = []
    while words and (found := _VARIABLE.fullmatch(words[0])):
        env.append((found[1], found[2]))
        words = words[1:]
    if not words or words[0] in _RUNNERS:
        return None
    program, arguments = words[0], words[1:]
    if program == "node":
        at = _script_at(arguments)
        if at is None:
            return None
        script = _file(f"{FILE}: scripts.start", arguments[at], has, names).script
        return Start(("node", *arguments[:at], script, *arguments[at + 1 :]), script, env=tuple(env))
    if "/" in program:
        path = _file(f"{FILE}: scripts.start", program, has, names, any_suffix=True)
        return Start((*path.words, *arguments), path.script, env=tuple(env))
    given = (str(PurePosixPath(word)) for word in arguments)
    script = next((word for word in given if word.endswith(SCRIPTS) and has(word)), "")
    return Start(("node", f"node_modules/.bin/{program}", *arguments), script, program, tuple(env))


def _script_at(arguments: list[str]) -> int | None:
    at = 0
    while at < len(arguments):
        if not arguments[at].startswith("-"):
            return at
        if arguments[at] in ("-e", "--eval", "-p", "--print", "-", "--test", "--watch"):
            return None
        at += 2 if arguments[at] in _TAKES_VALUE else 1
    return None


def _file(where: str, text: str, has: Callable[[str], bool], names: tuple[str, ...], *, any_suffix: bool = False) -> Start:
    path = str(PurePosixPath(text))
    if path.startswith("/") or ".." in path.split("/"):
        raise HandlerNotFound(f"{where}: {text!r} is outside of the folder")
    if path.endswith((".ts", ".mts", ".tsx")):
        raise HandlerNotFound(f"{where}: {text!r} is TypeScript; compile it to JavaScript before the build and name that file")
    candidates = (path, *(path + suffix for suffix in SCRIPTS), *(f"{path}/index{suffix}" for suffix in SCRIPTS))
    found = next((name for name in candidates if has(name)), None)
    if found is None:
        near = difflib.get_close_matches(path, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names[:8]) or 'no files'}"
        raise HandlerNotFound(f"{where}: there is no file {path}; {hint}")
    if any_suffix and not found.endswith(SCRIPTS):
        return Start((f"/func/{found}",))
    return Start(("node", found), found)
