"""The source layer, and what its code is: compiles every file, finds the handler, notes the imports. Runs nothing of the source."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from builder.cache import Cache, Cached, key
from builder.errors import HandlerNotFound, SyntaxInvalid
from builder.language import Job
from builder.options import FORMAT
from builder.python import handler
from builder.python.compiling import Compiled, Failure, compile_files
from builder.python.interpreter import Interpreter, running
from builder.python.paths import FUNC
from builder.python.runtime import bytecode
from builder.python.versions import allows
from builder.sources import leftout
from builder.sources.source import Source, SourceFile, open_file, read_file
from builder.tar import Member

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class SourceLayer:
    """`imports` has, for each file, the modules that it imports at its top level."""

    made: Cached
    handler: str
    imports: dict[str, list[str]]
    cached: bool


async def source_layer(cache: Cache, interpreter: Interpreter, source: Source, wanted: str, timeout: float) -> SourceLayer:
    name = key("source", FORMAT, interpreter.version, interpreter.tag, wanted, source.digest)
    if found := cache.get(name):
        return SourceLayer(found, found.facts["handler"], found.facts["imports"], True)
    with cache.folder() as scratch:
        compiled = await _compiled(interpreter, source, scratch, wanted, timeout)
        if compiled.failures:
            raise _invalid(interpreter, compiled.failures)
        chosen = _chosen(source, wanted, compiled)
        imports = {path: list(module.imports) for path, module in compiled.modules.items()}
        members = [_member(source, file) for file in source.files] + bytecode(scratch / "out", FUNC)
        made = cache.add(name, "source", members, {"handler": chosen, "imports": imports})
    return SourceLayer(made, chosen, imports, False)


async def glance(job: Job, minor: str) -> None:
    """Say what is plainly wrong before anything is downloaded, with the interpreter that runs kfn. `minor` is the image's Python,
    if it can be told from the base's name: a newer one may understand what this one does not."""
    wanted, own = job.project.handler, running()
    name = key("looked at", FORMAT, own.version, own.tag, wanted, job.source.digest)
    if job.cache.facts(name):
        return
    with job.cache.folder() as scratch:
        compiled = await _compiled(own, job.source, scratch, wanted, job.options.check_timeout)
    if not compiled.failures:
        _chosen(job.source, wanted, compiled)
    elif minor == own.minor or (allows(">=3", minor) and not allows(f">={own.minor}", minor)):
        raise _invalid(own, compiled.failures)
    job.cache.remember(name, {"seen": True})


async def _compiled(interpreter: Interpreter, source: Source, scratch: Path, wanted: str, timeout: float) -> Compiled:
    python = [file for file in source.files if file.path.endswith(".py") and not file.link]
    # A copy, so that what is compiled is what was hashed, even if an editor saves meanwhile.
    for file in python:
        (scratch / "in" / file.path).parent.mkdir(parents=True, exist_ok=True)
        (scratch / "in" / file.path).write_bytes(read_file(source.root, file))
    paths, look = [file.path for file in python], handler.files_to_look_at(wanted)
    return await compile_files(interpreter, scratch / "in", paths, scratch / "out", f"/{FUNC}", timeout=timeout, look=look)


def _chosen(source: Source, wanted: str, compiled: Compiled) -> str:
    try:
        return handler.choose(wanted, compiled.modules)
    except HandlerNotFound as error:
        hint = leftout.handler(source.left_out, handler.files_to_look_at(wanted))
        raise HandlerNotFound(f"{error.detail}. {hint}" if hint else error.detail) from None


def _invalid(interpreter: Interpreter, failures: Sequence[Failure]) -> SyntaxInvalid:
    shown = "\n".join(str(failure) for failure in failures[:_SHOWN])
    more = f"\nand {len(failures) - _SHOWN} more files" if len(failures) > _SHOWN else ""
    return SyntaxInvalid(f"Python {interpreter.version} cannot read it\n{shown}{more}")


def _member(source: Source, file: SourceFile) -> Member:
    path = f"{FUNC}/{file.path}"
    if file.link:
        return Member(path, link=file.link)
    return Member(path, stream=partial(open_file, source.root, file), size=file.size, executable=file.executable)
