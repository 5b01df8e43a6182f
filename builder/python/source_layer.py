"""The source layer, and what its code is: compiles every file, finds the handler, notes the imports. Runs nothing of the source."""

from dataclasses import dataclass
from functools import partial

from builder.cache import Cache, Cached, key
from builder.errors import HandlerNotFound, SyntaxInvalid
from builder.options import FORMAT
from builder.python import handler
from builder.python.compiling import compile_files
from builder.python.interpreter import Interpreter
from builder.python.paths import FUNC
from builder.python.runtime import bytecode
from builder.source import Source, SourceFile, open_file, read_file
from builder.sources import leftout
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
        python = [file for file in source.files if file.path.endswith(".py") and not file.link]
        # A copy, so that what is compiled is what was hashed, even if an editor saves meanwhile.
        for file in python:
            (scratch / "in" / file.path).parent.mkdir(parents=True, exist_ok=True)
            (scratch / "in" / file.path).write_bytes(read_file(source.root, file))
        compiled = await compile_files(
            interpreter,
            scratch / "in",
            [file.path for file in python],
            scratch / "out",
            f"/{FUNC}",
            timeout=timeout,
            look=handler.files_to_look_at(wanted),
        )
        if compiled.failures:
            shown = "\n".join(str(failure) for failure in compiled.failures[:_SHOWN])
            more = f"\nand {len(compiled.failures) - _SHOWN} more files" if len(compiled.failures) > _SHOWN else ""
            raise SyntaxInvalid(f"Python {interpreter.version} cannot read it\n{shown}{more}")
        try:
            chosen = handler.choose(wanted, compiled.modules)
        except HandlerNotFound as error:
            hint = leftout.handler(source.left_out, handler.files_to_look_at(wanted))
            raise HandlerNotFound(f"{error.detail}. {hint}" if hint else error.detail) from None
        imports = {path: list(module.imports) for path, module in compiled.modules.items()}
        members = [_member(source, file) for file in source.files] + bytecode(scratch / "out", FUNC)
        made = cache.add(name, "source", members, {"handler": chosen, "imports": imports})
    return SourceLayer(made, chosen, imports, False)


def _member(source: Source, file: SourceFile) -> Member:
    path = f"{FUNC}/{file.path}"
    if file.link:
        return Member(path, link=file.link)
    return Member(path, stream=partial(open_file, source.root, file), size=file.size, executable=file.executable)
