"""Bytecode: hands files to `worker.py` under the function's own interpreter and makes its answer typed. Decides nothing."""

import json
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from builder import files as files_on_disk
from builder import process
from builder.errors import BuildError, SyntaxInvalid
from builder.python.interpreter import Interpreter, check, environment

_WORKER = Path(__file__).with_name("worker.py")
_WALL = 4.0  # times the processor time: on a busy machine a file is slow, not hostile
_SHOWN = 100  # signs of a faulty line on each side of the fault


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that is not Python for this interpreter."""

    path: str
    line: int
    column: int  # from 1; 0 unknown
    text: str
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" + (f":{self.column}" if self.column else "")
        if not self.text:
            return f"{place}: {self.message}"
        begin = max(len(self.text) - len(self.text.lstrip()), self.column - 1 - _SHOWN)  # of a very long line, what is around the place
        stripped = self.text[begin : begin + 2 * _SHOWN]
        caret = " " * max(0, self.column - 1 - begin)
        return f"{place}: {self.message}\n    {stripped}\n    {caret}^"


@dataclass(frozen=True, slots=True)
class Module:
    """What one file defines and imports at its top level."""

    names: tuple[str, ...]
    handlers: tuple[str, ...]
    own: tuple[str, ...]
    star: bool  # has `from x import *`, so the names are not all known
    imports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compiled:
    failures: tuple[Failure, ...]
    modules: dict[str, Module]


async def compile_files(
    python: Interpreter, root: Path, files: Sequence[str], out: Path, prefix: str, *, timeout: float, look: Sequence[str] | None = None
) -> Compiled:
    """Write bytecode for `files` (relative to `root`) under `out`; `prefix` is their folder in the image.

    `timeout` is in seconds of processor time. With `look`, also tell what every file imports and what the named ones define.
    """
    await anyio.to_thread.run_sync(check, python)
    job = {
        "root": str(root),
        "files": sorted(files),
        "out": str(out),
        "prefix": prefix,
        "look": list(look or ()),
        "seconds": max(1, int(timeout)),
        "kfn": str(_WORKER.parents[2]),
    }
    argv = [*python.command, "-I", "-S", "-B", str(_WORKER)]
    with tempfile.TemporaryFile() as said:  # it names each file as it begins; a pipe would wake this process for each
        ended = await process.run(argv, stdin=json.dumps(job).encode(), timeout=_WALL * timeout, env=environment(), into=said)
        said.seek(0)
        lines = said.read().decode("utf-8", "replace").rstrip("\n").split("\n")
    if ended.code:
        raise files_on_disk.said_full(ended.stderr.decode("utf-8", "replace"), out) or _crash(python.command[-1], ended, lines[-1])
    answer = json.loads(lines[-1])
    modules = {
        path: Module(tuple(m["names"]), tuple(m["handlers"]), tuple(m["own"]), m["star"], tuple(m["imports"]))
        for path, m in answer.get("modules", {}).items()
    }
    return Compiled(tuple(Failure(**failure) for failure in answer["errors"]), modules)


def _crash(python: str, ended: process.Ended, path: str) -> BuildError:
    if ended.code < 0 or b"MemoryError" in ended.stderr or b"RecursionError" in ended.stderr:
        why = signal.Signals(-ended.code).name if ended.code < 0 else "it is nested too deeply or too large"
        return SyntaxInvalid(f"{path} could not be compiled within the limits on time and memory ({why})")
    return BuildError(f"{python} failed while it compiled {path}: {ended.stderr.decode('utf-8', 'replace').strip()[-2000:]}")
